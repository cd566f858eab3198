"""An administrator of a department looks at what belongs to it and to the departments below it, and at nothing else."""


def test_every_list_shows_the_departments_below_too(lab, me):
    lab.ctl("department", "create", "sales")
    lab.ctl("department", "create", "north", "--parent", "sales")
    lab.ctl("department", "create", "coast", "--parent", "north")
    lab.ctl("department", "create", "other")
    for d in ("sales", "north", "coast", "other"):
        lab.ctl("user", "create", "u-" + d, "--department", d)
        lab.ctl("group", "create", "g-" + d, "--department", d)
        lab.ctl("asset", "create", "a-" + d, "--address", "127.0.0.1", "--port", "1", "--department", d)
        lab.ctl("asset-group", "create", "ag-" + d, "--department", d)
        lab.ctl("account", "create", "x@a-" + d, "--typed")
        lab.ctl("grant", "create", "--name", "gr-" + d, "--user", "u-" + d, "--asset", "a-" + d, "--account", "*")
    lab.ctl("user", "create", "head", "--role", "admin", "--role-department", "sales", "--department", "sales")

    def names(noun, key):
        return {r[key] for r in lab.ctl("--as", "head", noun, "list")}

    below = ("sales", "north", "coast")
    assert names("user", "login") == {"u-" + d for d in below} | {"head"}
    for noun, key, prefix in (("group", "name", "g-"), ("asset", "name", "a-"), ("asset-group", "name", "ag-"), ("grant", "name", "gr-"),
                              ("account", "asset", "a-")):
        assert names(noun, key) == {prefix + d for d in below}, noun
