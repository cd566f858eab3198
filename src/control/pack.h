/* src/control/pack.h - the rules that come with the program, from rules/. */
#ifndef SP_CONTROL_PACK_H
#define SP_CONTROL_PACK_H

struct pack_rule {
	const char	*name, *text;
};
extern const struct pack_rule pack_detections[], pack_starter[];	/* end with name NULL */
#define PACK_STARTER	"starter"	/* name of the rule set */

#endif
