import NIOCore
import NIOPosix
import NIOSSL

// What connections and their failures are called for an operator.

extension SocketAddress {
    /// Address and port.
    var brief: String {
        guard let ipAddress, let port else { return "\(self)" }
        return ipAddress.contains(":") ? "[\(ipAddress)]:\(port)" : "\(ipAddress):\(port)"
    }
}

/// Why a connection could not be made, or has ended.
enum ConnectionEnd {
    static func reason(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            return error.connectionErrors.first.map { reason($0.error) } ?? "there is no such host"
        case let error as IOError: return String(cString: strerror(error.errnoCode)).lowercased()
        case is ChannelError: return "it does not answer"
        case is NIOSSLError, is BoringSSLError:
            return "the TLS handshake has failed: one side without TLS, or a certificate that is "
                + "missing, expired, or of another authority than replication.ca names"
        default: return "the connection has failed"
        }
    }
}
