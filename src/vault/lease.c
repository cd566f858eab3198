/* src/vault/lease.c - see lease.h. */
#include "vault/lease.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char	*name;
	const char	*secret_kind;
} lease_ops[] = {
	[LEASE_SIGN]		= { "sign", "ssh-key" },
	[LEASE_CERTIFICATE]	= { "certificate", "ssh-ca" },
	[LEASE_PASSWORD]	= { "password", "password" },
};

enum sp_err
lease_table_init(struct lease_table *t)
{
	*t = (struct lease_table){ 0 };
	sp_list_init(&t->all);
	return sp_htab_init(&t->by_id);
}

static void
lease_free(struct lease *l)
{
	if (l == NULL)
		return;
	if (l->terms != NULL)
		sallyport__lease_put__free_unpacked(l->terms, NULL);
	free(l);
}

static void
lease_unlink(struct lease_table *t, struct lease *l)
{
	sp_htab_remove(&t->by_id, &l->node);
	sp_list_remove(&l->link);
	t->n--;
	t->bytes -= l->bytes;
}

void
lease_clear(struct lease_table *t)
{
	sp_list_each(it, &t->all) {
		struct lease *l = sp_container(it, struct lease, link);

		lease_unlink(t, l);
		lease_free(l);
	}
}

void
lease_table_release(struct lease_table *t)
{
	if (t->all.next == NULL)
		return;
	lease_clear(t);
	sp_htab_release(&t->by_id);
	*t = (struct lease_table){ 0 };
}

/* 0 when op and kind of secret do not go together. */
static enum lease_op
lease_op_of(const Sallyport__LeasePut *m)
{
	for (unsigned i = LEASE_SIGN; i < SP_NELEMS(lease_ops); i++)
		if (strcmp(m->op, lease_ops[i].name) == 0 && strcmp(m->secret_kind, lease_ops[i].secret_kind) == 0)
			return (enum lease_op)i;
	return 0;
}

/* What a lease must have besides its ids; NULL when all is there. */
static const char *
lease_fault(const Sallyport__LeasePut *m, enum lease_op op)
{
	if (op == 0)
		return "operation and kind of secret do not fit";
	if (m->uses < 1 || m->uses > LEASE_USES_MAX)
		return "number of uses";
	if (m->sealed.len == 0)
		return "no secret";
	if (op == LEASE_SIGN && m->login[0] == 0)
		return "no login to sign for";
	if (op == LEASE_CERTIFICATE && (m->n_principals == 0 || m->valid_s < 1 || m->valid_s > LEASE_CERT_MAX_S))
		return "no principal, or a validity above 300 s";
	if (op == LEASE_CERTIFICATE && m->key_id[0] == 0)
		return "no key id";
	if (op == LEASE_CERTIFICATE && (m->wall_us <= LEASE_CERT_BACK_S * INT64_C(1000000) || m->wall_us > LEASE_WALL_MAX_US))
		return "no time to date the certificate by";
	return NULL;
}

static enum sp_err
lease_ids(const Sallyport__LeasePut *m, struct lease *l, const char **why)
{
	*why = "ids";
	if (m->lease.len < LEASE_ID_MIN || m->lease.len > LEASE_ID_MAX ||
	    sp_uuid_from(m->conn_id.data, m->conn_id.len, &l->conn) != SP_OK ||
	    sp_uuid_from(m->session_id.data, m->session_id.len, &l->session) != SP_OK ||
	    sp_uuid_from(m->secret_id.data, m->secret_id.len, &l->secret) != SP_OK)
		return SP_EINVAL;
	return SP_OK;
}

static enum sp_err
lease_check(const Sallyport__LeasePut *m, const uint8_t boot[16], uint64_t now_us, struct lease *l, const char **why)
{
	enum sp_err r = lease_ids(m, l, why);

	if (r != SP_OK)
		return r;
	*why = "minted for an earlier start of the vault";
	if (m->vault_boot.len != 16 || memcmp(m->vault_boot.data, boot, 16) != 0)
		return SP_ESTATE;
	*why = "deadline";
	if (m->deadline_us <= now_us)
		return SP_EEXPIRED;
	if (m->deadline_us - now_us > LEASE_LIFE_MAX_US)
		return SP_EINVAL;
	l->op = lease_op_of(m);
	if ((*why = lease_fault(m, l->op)) != NULL)
		return SP_EINVAL;
	if (l->op == LEASE_CERTIFICATE)
		l->wall_us = m->wall_us - (int64_t)now_us;
	return SP_OK;
}

enum sp_err
lease_put(struct lease_table *t, const Sallyport__LeasePut *m, struct sp_view packed, const uint8_t boot[16],
    uint64_t now_us, const char **why)
{
	struct lease *l;
	enum sp_err r;

	*why = "table";
	if (t->n >= LEASES_MAX || t->bytes + packed.len > LEASES_BYTES_MAX)
		return SP_EFULL;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return SP_ENOMEM;
	*l = (struct lease){ .uses = m->uses, .deadline_us = m->deadline_us, .bytes = packed.len + sizeof(*l) };
	if ((r = lease_check(m, boot, now_us, l, why)) == SP_OK &&
	    (l->terms = sallyport__lease_put__unpack(NULL, packed.len, packed.p)) == NULL)
		r = SP_ENOMEM;
	if (r == SP_OK && (r = sp_htab_insert(&t->by_id, &l->node, l->terms->lease.data, l->terms->lease.len)) != SP_OK)
		*why = "id is in use";
	if (r != SP_OK) {
		lease_free(l);
		return r;
	}
	sp_list_add_tail(&t->all, &l->link);
	t->n++;
	t->bytes += l->bytes;
	return SP_OK;
}

static enum sp_err
lease_find(struct lease_table *t, struct sp_view id, const struct sp_uuid *conn, enum lease_op op, uint64_t now_us,
    struct lease **ret)
{
	struct sp_hnode *n = NULL;
	struct lease *l;

	if (id.len >= LEASE_ID_MIN && id.len <= LEASE_ID_MAX)
		n = sp_htab_find(&t->by_id, id.p, id.len);
	if (n == NULL)
		return SP_ENOENT;
	l = sp_container(n, struct lease, node);
	if (!sp_uuid_equal(&l->conn, conn))
		return SP_EPEER;
	if (l->deadline_us <= now_us || l->op != op) {
		enum sp_err r = l->op != op ? SP_EDENIED : SP_EEXPIRED;

		/* It can serve no honest purpose any more. */
		lease_unlink(t, l);
		lease_free(l);
		return r;
	}
	*ret = l;
	return SP_OK;
}

enum sp_err
lease_spend(struct lease_table *t, struct sp_view id, const struct sp_uuid *conn, enum lease_op op, uint64_t now_us,
    struct lease **ret)
{
	enum sp_err r = lease_find(t, id, conn, op, now_us, ret);

	if (r == SP_OK)
		(*ret)->uses--;
	return r;
}

void
lease_settle(struct lease_table *t, struct lease *l)
{
	if (l->uses > 0)
		return;
	lease_unlink(t, l);
	lease_free(l);
}

unsigned
lease_drop(struct lease_table *t, const struct sp_uuid *conn, const struct sp_uuid *session)
{
	unsigned n = 0;

	sp_list_each(it, &t->all) {
		struct lease *l = sp_container(it, struct lease, link);

		if (!sp_uuid_equal(&l->conn, conn) || (session != NULL && !sp_uuid_equal(&l->session, session)))
			continue;
		lease_unlink(t, l);
		lease_free(l);
		n++;
	}
	return n;
}

unsigned
lease_sweep(struct lease_table *t, uint64_t now_us)
{
	unsigned n = 0;

	sp_list_each(it, &t->all) {
		struct lease *l = sp_container(it, struct lease, link);

		if (l->deadline_us > now_us)
			continue;
		lease_unlink(t, l);
		lease_free(l);
		n++;
	}
	return n;
}
