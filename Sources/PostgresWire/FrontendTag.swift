/// First bytes of the messages that a frontend sends after startup.
///
/// https://www.postgresql.org/docs/15/protocol-message-formats.html
package enum FrontendTag {
    package static let parse = UInt8(ascii: "P")
    package static let bind = UInt8(ascii: "B")
    package static let describe = UInt8(ascii: "D")
    package static let execute = UInt8(ascii: "E")
    package static let close = UInt8(ascii: "C")
    package static let sync = UInt8(ascii: "S")
    package static let flush = UInt8(ascii: "H")
    package static let query = UInt8(ascii: "Q")
    package static let terminate = UInt8(ascii: "X")
    package static let copyData = UInt8(ascii: "d")
    package static let copyDone = UInt8(ascii: "c")
    package static let copyFail = UInt8(ascii: "f")
    package static let functionCall = UInt8(ascii: "F")
    /// PasswordMessage, SASLInitialResponse and SASLResponse share this tag.
    package static let password = UInt8(ascii: "p")
}
