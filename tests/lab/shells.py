"""Cases for the line tracker: what people type into shells and SQL clients, and the lines that run.

A case is (name, programs, steps, lines). Steps: ("keys", text) one by one, ("send", text) in one packet, ("see", text) wait
until that stands left of the cursor, ("show", text) wait until it is on the screen, ("size", "cols rows"), ("paste", "on") until the program asks for bracketed pastes. "@" in see is
the prompt of the program. A line is text that ran, or None for one typed without echo."""

UP, LEFT, DEL = "\x1b[A", "\x1b[D", "\x7f"
PROMPT = "P> "
SQL = ("psql", "mysql")
SHELLS = ("bash", "zsh", "dash", "ash")
EDITORS = ("bash", "zsh", "ash")
WIDE = "\u4f60\u597d\u4e16\u754c"


def typed(line):
    return [("keys", line + "\r"), ("see", "@")]


def sent(text):
    return [("send", text), ("see", "@")]


LONG = "echo " + " ".join("word%d" % i for i in range(40))
HUGE = ": " + " ".join("argument-%05d" % i for i in range(4800)) + "; echo finished"

CASES = [
    ("plain", SHELLS, typed("echo hello world"), ["echo hello world"]),
    ("packet", SHELLS, sent("echo hello world\r"), ["echo hello world"]),
    ("spaces", SHELLS, typed("echo  'two   blanks'"), ["echo  'two   blanks'"]),
    ("backspace", SHELLS, typed("echo helx" + DEL + "p me"), ["echo help me"]),
    ("erase all", SHELLS, typed("garbage\x15echo ok"), ["echo ok"]),
    ("erase word", SHELLS, typed("echo one two\x17three"), ["echo one three"]),
    ("control-j", SHELLS, [("keys", "echo newline\n"), ("see", "@")], ["echo newline"]),
    ("empty lines", SHELLS, [("keys", "\r"), ("see", "@")] + typed("echo x") + [("keys", "\r"), ("see", "@")], ["echo x"]),
    ("three lines in a packet", SHELLS, [("send", "echo 1\recho 2\recho 3\r"), ("show", "3"), ("see", "@")],
     ["echo 1", "echo 2", "echo 3"]),
    ("wrapped", SHELLS, [("size", "40 12")] + typed(LONG), [LONG]),
    ("wrapped, exact width", SHELLS, [("size", "20 12")] + typed("echo 89012345678"), ["echo 89012345678"]),
    ("wrapped, several rows exactly", SHELLS, [("size", "20 12")] + typed("echo 890123456780123456789012345678"),
     ["echo 890123456780123456789012345678"]),
    ("narrow", SHELLS, [("size", "7 12")] + typed("echo a narrow one"), ["echo a narrow one"]),
    ("chinese", ("bash", "zsh", "dash"), typed("echo " + WIDE), ["echo " + WIDE]),
    ("chinese, wrapped", ("bash", "zsh", "dash"), [("size", "21 12")] + typed("echo " + WIDE * 10), ["echo " + WIDE * 10]),
    ("chinese, odd width", ("bash", "zsh", "dash"), [("size", "20 12")] + typed("echo " + WIDE * 10), ["echo " + WIDE * 10]),
    ("combining", ("bash", "dash"), typed("echo cafe\u0301"), ["echo cafe\u0301"]),
    ("longer than the screen", SHELLS, [("size", "40 6")] + sent("echo " + "x" * 700 + "; echo done\r"),
     ["echo " + "x" * 700 + "; echo done"]),
    ("over 64 KiB", ("bash",), [("send", HUGE + "\r"), ("show", "\nfinished"), ("see", "@")], [HUGE]),
    ("here-document", SHELLS, [("keys", "cat <<EOF\r"), ("see", "> "), ("keys", "first line\r"), ("see", "> "),
                               ("keys", "EOF\r"), ("see", "@")], ["cat <<EOF", "first line", "EOF"]),
    ("loop over lines", SHELLS, [("keys", "for i in 1 2\r"), ("see", "> "), ("keys", "do echo $i\r"), ("see", "> "),
                                 ("keys", "done\r"), ("see", "@")], ["for i in 1 2", "do echo $i", "done"]),
    ("input of a program", SHELLS, [("keys", "printf 'Go: '; read x\r"), ("see", "Go: "), ("keys", "some words\r"), ("see", "@")],
     ["printf 'Go: '; read x", "some words"]),
    ("password", SHELLS, [("keys", "stty -echo; printf 'Word: '; read x; stty echo; echo\r"), ("see", "Word: "),
                          ("keys", "hunter2\r"), ("see", "@")],
     ["stty -echo; printf 'Word: '; read x; stty echo; echo", None]),
    ("given up with control-c", SHELLS, [("keys", "echo never"), ("see", "never"), ("keys", "\x03"), ("see", "@")] + typed("echo ok"), ["echo ok"]),
    ("stopped with control-c", SHELLS, [("keys", "echo on; sed s/x/yy/\r"), ("show", "\non"), ("keys", "x\r"), ("show", "\nyy"), ("keys", "\x03"), ("see", "@")] +
     typed("echo ok"), ["echo on; sed s/x/yy/", "x", "echo ok"]),
    ("changing prompts", ("bash", "zsh", "dash"), typed("cd /") + [("keys", "PS1='one> '\r"), ("see", "one> "),
     ("keys", "echo a\r"), ("show", "\na"), ("see", "one> "), ("keys", "PS1='two# '\r"), ("see", "two# "), ("keys", "echo b\r"),
     ("show", "\nb"), ("see", "two# ")], ["cd /", "PS1='one> '", "echo a", "PS1='two# '", "echo b"]),
    ("output without a line end", SHELLS, [("keys", "printf abc\r"), ("show", "abc"), ("see", "@")] + typed("echo ok"),
     ["printf abc", "echo ok"]),
    ("alternate screen printed", SHELLS, typed("printf '\\033[?1049h'") + typed("echo seen"),
     ["printf '\\033[?1049h'", "echo seen"]),
    ("title printed, never ended", SHELLS, [("keys", "printf 'go\\n\\033]0;'\r"), ("show", "\ngo"), ("keys", "\r"), ("see", "@")] + typed("echo seen"),
     ["printf 'go\\n\\033]0;'", "echo seen"]),
    ("DCS printed, never ended", SHELLS, [("keys", "printf 'go\\n\\033P'\r"), ("show", "\ngo"), ("keys", "\r"), ("see", "@")] + typed("echo seen"),
     ["printf 'go\\n\\033P'", "echo seen"]),
    ("screen cleared while typing", ("bash", "zsh"), [("keys", "echo ab"), ("see", "echo ab"), ("keys", "\x0c"),
     ("see", "@echo ab")] + typed("cd"), ["echo abcd"]),
    ("resize while typing", ("bash", "zsh"), [("keys", "echo before"), ("see", "echo before"), ("size", "60 20"),
     ("keys", " after\r"), ("show", "\nbefore after"), ("see", "@")], ["echo before after"]),
    ("history", EDITORS, typed("echo once") + [("keys", UP), ("see", "echo once")] + typed(""), ["echo once", "echo once"]),
    ("history, in one packet", EDITORS, typed("echo once") + [("send", UP + "\r"), ("see", "@")], ["echo once", "echo once"]),
    ("history, edited", EDITORS, typed("echo once") + [("keys", UP), ("see", "echo once"), ("keys", DEL + "ly"),
     ("see", "echo oncly")] + typed(""), ["echo once", "echo oncly"]),
    ("history, wrapped", ("bash", "zsh"), [("size", "40 12")] + typed(LONG) + [("keys", UP), ("see", "word39")] + typed(""),
     [LONG, LONG]),
    ("history, chinese", ("bash", "zsh"), typed("echo " + WIDE) + [("keys", UP), ("see", WIDE)] + typed(""),
     ["echo " + WIDE] * 2),
    ("control-r", ("bash", "zsh"), typed("echo find me") + typed("echo other") +
     [("keys", "\x12find"), ("show", "search"), ("keys", "\r"), ("see", "@")], ["echo find me", "echo other", "echo find me"]),
    ("control-o", ("bash",), typed("echo 1") + typed("echo 2") + [("keys", UP), ("see", "echo 2"), ("keys", UP), ("see", "echo 1"),
     ("keys", "\x0f"), ("see", "@echo 2"), ("keys", "\r"), ("see", "@")], ["echo 1", "echo 2", "echo 1", "echo 2"]),
    ("left and insert", EDITORS, [("keys", "echo wold" + LEFT * 2), ("see", "echo wo"), ("keys", "r"), ("show", "echo world"),
     ("keys", "\r"), ("see", "@")], ["echo world"]),
    ("left and insert, in one packet", EDITORS, sent("echo wold" + LEFT * 2 + "r\r"), ["echo world"]),
    ("start of the line", EDITORS, [("keys", "hello\x01echo "), ("show", "@echo hello"), ("keys", "\r"), ("see", "@")],
     ["echo hello"]),
    ("kill and yank", ("bash", "zsh"), [("keys", "echo one two\x17\x19\x19"), ("see", "twotwo"), ("keys", "\r"), ("see", "@")],
     ["echo one twotwo"]),
    ("completion", EDITORS, [("keys", "cat uniq\t"), ("see", "uniquefile.txt "), ("keys", "\r"), ("see", "@")],
     ["cat uniquefile.txt"]),
    ("completion that lists", ("bash",), [("keys", "cat same-"), ("see", "same-"), ("keys", "\t\t"), ("show", "same-two"),
     ("see", "@cat same-"), ("keys", "one"), ("see", "same-one"), ("keys", "\r"), ("see", "@")], ["cat same-one"]),
    ("pasted", ("bash", "zsh"), [("paste", "on"), ("send", "\x1b[200~echo pasted\x1b[201~"), ("see", "echo pasted"), ("keys", "\r"), ("see", "@")],
     ["echo pasted"]),
    ("pasted, two lines", ("bash", "zsh"), [("paste", "on"), ("send", "\x1b[200~echo one\recho two\x1b[201~"), ("see", "echo two"), ("keys", "\r"),
     ("show", "\ntwo"), ("see", "@")], ["echo one\necho two"]),
    ("paste that nobody asked for", ("dash",), [("send", "\x1b[200~\x15echo sly\r\x1b[201~\x15"), ("show", "\nsly"), ("see", "@")],
     ["echo sly"]),
    ("own binding to text", ("bash",), typed("bind '\"\\C-t\": \"date +bound\"'") + [("keys", "\x14"), ("see", "date +bound"),
     ("keys", "\r"), ("see", "@")], ["bind '\"\\C-t\": \"date +bound\"'", "date +bound"]),
    ("letter bound to text", ("bash",), typed("bind '\"q\": \"; echo x\"'") + [("keys", "echo "), ("keys", "q"), ("see", "; echo x"),
     ("keys", "\r"), ("see", "@")], ["bind '\"q\": \"; echo x\"'", "echo ; echo x"]),
    ("letter bound to text, in one packet", ("bash",), typed("bind '\"q\": \"; echo x\"'") + sent("echo q\r"),
     ["bind '\"q\": \"; echo x\"'", "echo ; echo x"]),
    ("key that runs a line", ("bash",), typed("bind '\"\\C-t\": \"echo ran\\C-m\"'") + [("keys", "\x14"), ("show", "\nran"), ("see", "@")] +
     typed("echo ok"), ["bind '\"\\C-t\": \"echo ran\\C-m\"'", "echo ran", "echo ok"]),
    ("history expansion", ("bash",), typed("echo once") + typed("!!"), ["echo once", "echo once"]),
    ("right prompt", ("zsh",), [("keys", "RPROMPT=right\r"), ("show", "right"), ("see", "@")] + typed("echo left"),
     ["RPROMPT=right", "echo left"]),
    ("right prompt, history", ("zsh",), [("keys", "RPROMPT=right\r"), ("show", "right"), ("see", "@")] + typed("echo left") +
     [("keys", UP), ("see", "echo left")] + typed(""), ["RPROMPT=right", "echo left", "echo left"]),
    ("pager and back", ("bash", "zsh"), [("keys", "less text.txt\r"), ("show", "line 3"), ("keys", "\r\rq"), ("see", "@")] + typed("echo back"),
     ["less text.txt", "echo back"]),
    ("tmux inside", ("bash",), [("keys", "tmux -f /dev/null -L @tmux new 'PS1=\"P> \" bash --norc'\r"), ("show", "bash*"), ("see", "@")] +
     [("keys", "echo inside\r"), ("show", "\ninside"), ("see", "@"), ("keys", "exit\r"), ("show", "exited"), ("see", "@")] + typed("echo outside"),
     ["tmux -f /dev/null -L @tmux new 'PS1=\"P> \" bash --norc'", "echo inside", "exit", "echo outside"]),
    ("screen inside", ("bash",), [("keys", "screen -c /dev/null sh -c 'PS1=\"P> \" exec bash --norc'\r"), ("see", "@"), ("keys", "echo inside\r"),
     ("show", "\ninside"), ("see", "@"), ("keys", "exit\r"), ("show", "terminating"), ("see", "@")] + typed("echo outside"),
     ["screen -c /dev/null sh -c 'PS1=\"P> \" exec bash --norc'", "echo inside", "exit", "echo outside"]),
    ("another shell inside", ("bash",), [("keys", "PS1='in> ' bash --norc\r"), ("see", "in> "), ("keys", "echo inside\r"), ("show", "\ninside"),
     ("see", "in> "), ("keys", "exit\r"), ("see", "@")] + typed("echo outside"),
     ["PS1='in> ' bash --norc", "echo inside", "exit", "echo outside"]),
    # SQL
    ("query", SQL, [("keys", "select 1 + 1;\r"), ("show", "2"), ("see", "@")], ["select 1 + 1;"]),
    ("query over two lines", SQL, [("keys", "select\r"), ("see", "-> "), ("keys", "40 + 2;\r"), ("show", "42"), ("see", "@")],
     ["select", "40 + 2;"]),
    ("chinese query", SQL, [("keys", "select '" + WIDE + "';\r"), ("see", "@")], ["select '" + WIDE + "';"]),
    ("query again", SQL, [("keys", "select 7;\r"), ("show", "row"), ("see", "@"), ("keys", UP), ("see", "select 7;"), ("keys", "\r"), ("see", "@")],
     ["select 7;", "select 7;"]),
    ("query edited", SQL, [("keys", "select 10;" + LEFT + DEL), ("see", "select 1"), ("keys", "2\r"), ("show", "12"), ("see", "@")], ["select 12;"]),
    ("query wrapped", SQL, [("size", "30 15"), ("keys", "select 1 as a_long_column_name, 2 as another_one;\r"), ("see", "@")],
     ["select 1 as a_long_column_name, 2 as another_one;"]),
    ("queries in a packet", SQL, [("send", "select 1;\rselect 2;\rselect 31;\r"), ("show", " 31"), ("see", "@")], ["select 1;", "select 2;", "select 31;"]),
]
