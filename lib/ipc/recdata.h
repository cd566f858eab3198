/* lib/ipc/recdata.h - the one message that is not protobuf: bytes of a channel on their way to the scribe, on the hot path.
 * Layout after the common header: u32 channel, u8 stream, 3 zero bytes, u64 boottime microseconds (all little endian,
 * same machine), then the bytes. */
#ifndef SP_IPC_RECDATA_H
#define SP_IPC_RECDATA_H

#include <stdint.h>

#define SP_REC_CHUNK	65536	/* most bytes of data in one REC_DATA */

enum sp_rec_stream {
	SP_REC_IN = 0,		/* from the user to the target */
	SP_REC_OUT = 1,		/* standard output of the target */
	SP_REC_ERR = 2,		/* standard error of the target */
	SP_REC_STREAMS
};
struct sp_recdata {
	uint32_t	channel;
	uint8_t		stream;
	uint8_t		zero[3];
	uint64_t	at_us;
};
_Static_assert(sizeof(struct sp_recdata) == 16, "wire layout");

#endif
