/* Whose turn it is: networks come before what prepares their inputs.
 *
 * Where more is asked than the cores can do, pictures that are prepared ahead of their network only wait in its queue,
 * and what that refuses was prepared in vain, with the cores that the network needed.
 */
#ifndef TRITONCLAS_TURNS_H
#define TRITONCLAS_TURNS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Turns Turns;

/* Those of this process, whichever backend asks first; Python's lock must be held. NULL, and Python's error, if there is
 * no memory. */
Turns* turns_shared(void);

/* One more network has requests in hand that no worker is free for, or one less. */
void turns_crowded(Turns* turns, bool crowded);

/* Waits until no network has, but no longer than this, and a tenth of a second: a slow network that always has more in
 * hand, or callers who send it pixels, mustn't keep other networks' pictures out. */
void turns_wait(Turns* turns, uint64_t longest_ns);

#endif
