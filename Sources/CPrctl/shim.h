/* prctl takes any number of arguments, and Swift calls no such function. */
#ifdef __linux__
#include <sys/prctl.h>
static inline int mynah_set_dumpable(int dumpable) {
    return prctl(PR_SET_DUMPABLE, (unsigned long)dumpable, 0UL, 0UL, 0UL);
}
#else
static inline int mynah_set_dumpable(int dumpable) { return 0; }
#endif
