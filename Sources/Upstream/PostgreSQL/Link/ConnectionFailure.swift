import NIOCore
import NIOPosix
import PostgresWire

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Words for what goes wrong with a connection, after libpq's.
enum ConnectionFailure {
    static func error(_ address: PostgreSQLAddress, _ reason: String) -> PostgresError {
        PostgresError(.connectionFailure, beginning(address) + reason, severity: .fatal)
    }

    /// Whether it says that `address` cannot be reached, rather than what somebody there has said.
    static func isAbout(_ address: PostgreSQLAddress, _ error: PostgresError) -> Bool {
        error.message.hasPrefix(beginning(address))
    }

    private static func beginning(_ address: PostgreSQLAddress) -> String {
        "connection to upstream server at \(address) failed: "
    }

    static func error(_ address: PostgreSQLAddress, _ error: any Error) -> PostgresError {
        self.error(address, reason(error))
    }

    static func reason(_ error: any Error) -> String {
        if let reason = TLSFailure.reason(error) { return reason }
        switch error {
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first { return reason(first.error) }
            if error.dnsAError != nil || error.dnsAAAAError != nil {
                return "could not translate host name to address"
            }
            return "no address to connect to"
        case let error as IOError:
            return String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout:
            return "timeout expired"
        case is SocketAddressError:
            return "invalid address"
        default:
            return "connection could not be made"
        }
    }
}
