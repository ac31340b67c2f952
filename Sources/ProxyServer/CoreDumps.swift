import CPrctl
import Logging

/// Whether the process may leave a core file, in which rows and secrets would be.
enum CoreDumps {
    /// Where they are not allowed, other processes of the same user can neither trace this one nor
    /// read its memory (`PR_SET_DUMPABLE`, prctl(2)).
    static func allow(_ isAllowed: Bool, logger: Logger) {
        if mynah_set_dumpable(isAllowed ? 1 : 0) != 0 {
            logger.warning("the system does not let core files be turned on or off")
        }
    }
}
