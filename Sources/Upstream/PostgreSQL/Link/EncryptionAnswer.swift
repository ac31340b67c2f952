import NIOCore

/// The server's one byte in answer to SSLRequest, and what follows from it.
///
/// Who wrote it is not known yet. So no text of an error goes any further (CVE-2024-10977), and no
/// byte behind the answer is taken for the server's (CVE-2021-23222).
enum EncryptionAnswer: Hashable {
    case encrypt
    /// The same connection goes on in plain text.
    case continueInPlainText
    case fail(String)

    /// nil before there is an answer.
    init?(_ received: ByteBuffer, mode: LinkEncryption.Mode) {
        guard let first = received.readableBytesView.first else { return nil }
        switch first {
        case UInt8(ascii: "E"):
            self = .fail("server sent an error response during SSL exchange")
        case UInt8(ascii: "S"), UInt8(ascii: "N"):
            guard received.readableBytes == 1 else {
                self = .fail("received unencrypted data after the answer to SSLRequest")
                return
            }
            if first == UInt8(ascii: "S") {
                self = .encrypt
            } else if mode == .prefer {
                self = .continueInPlainText
            } else {
                self = .fail("server does not support SSL, but SSL was required")
            }
        default:
            self = .fail("received invalid response to SSLRequest")
        }
    }
}
