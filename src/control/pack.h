/* src/control/pack.h - the detections that come with the program, from rules/siem/. */
#ifndef SP_CONTROL_PACK_H
#define SP_CONTROL_PACK_H

struct pack_detection {
	const char	*name, *text;
};
extern const struct pack_detection pack_detections[];	/* ends with name NULL */

#endif
