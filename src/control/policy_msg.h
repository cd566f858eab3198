/* src/control/policy_msg.h - a decision as the Policy that a session obeys. Used by target.c and rejudge.c. */
#ifndef SP_CONTROL_POLICY_MSG_H
#define SP_CONTROL_POLICY_MSG_H

#include "control/ctl.h"
#include "policy/access.h"

#define POLICY_FORWARDS_MAX	512

struct policy_msg {		/* msg points into the rest and into conf: do not copy */
	Sallyport__Policy	 msg;
	char			*protocols[16], *agent[2];
	char			*env[SP_CONF_LIST + 4];
	char			*forward[POLICY_FORWARDS_MAX];
	char			 forwards[SP_POLICY_FORWARDS_SIZE], file_paths[SP_POLICY_PATHS_SIZE];
};
void	policy_msg_init(struct policy_msg *p, const struct sp_config *conf, const struct sp_policy_decision *d);
/* And what is judged of commands; their rules travel in a file beside the message. To be called once, before it is sent. */
struct cmdrules;
void	policy_msg_commands(struct policy_msg *p, const struct cmdrules *c);
/* Of the decision and of the configuration: another one when the session has to be told. */
uint64_t policy_sum(const struct sp_config *conf, const struct sp_policy_decision *d);
void	policy_msg_release(struct policy_msg *p);

#endif
