import NIOSSL

/// Words for what goes wrong with TLS: the library's own hold paths of its source files.
package enum TLSFailure {
    /// nil for an error that is not about TLS.
    package static func reason(_ error: any Error) -> String? {
        switch error {
        case let error as NIOSSLError:
            switch error {
            case .handshakeFailed(let inner), .shutdownFailed(let inner):
                return "TLS handshake failed: \(words(inner))"
            case .noSuchFilesystemObject: return "no such file"
            case .failedToLoadCertificate: return "not a certificate in PEM format"
            case .failedToLoadPrivateKey: return "not a private key in PEM format"
            case .unableToValidateCertificate, .noCertificateToValidate, .cannotMatchULabel,
                .cannotFindPeerIP:
                return "TLS handshake failed: the certificate does not match the host name"
            case .uncleanShutdown: return "the connection was closed unexpectedly"
            default: return "TLS failed"
            }
        case let error as BoringSSLError:
            return "TLS failed: \(words(error))"
        case let error as NIOSSLExtraError:
            switch error {
            case .failedToValidateHostname, .serverHostnameImpossibleToMatch:
                return "TLS handshake failed: the certificate does not match the host name"
            default: return "TLS failed"
            }
        case is NIOSSLCloseTimedOutError:
            return "the connection was not closed in good order"
        default:
            return nil
        }
    }

    private static func words(_ error: BoringSSLError) -> String {
        switch error {
        case .sslError(let stack), .unknownError(let stack):
            return stack.lazy.compactMap(words).first ?? "the connection was closed"
        case .syscallError, .zeroReturn: return "the connection was closed"
        default: return "protocol error"
        }
    }

    /// `error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED at file:line` is
    /// "certificate verify failed".
    private static func words(_ error: BoringSSLInternalError) -> String? {
        if error == .eofDuringHandshake { return "the connection was closed during the handshake" }
        let text = error.description
        guard let start = text.range(of: "OPENSSL_internal:")?.upperBound else { return nil }
        let reason = text[start...].prefix {
            $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_")
        }
        return reason.isEmpty
            ? nil : reason.lowercased().split(separator: "_").joined(separator: " ")
    }
}
