import Crypto
import PostgresWire

/// A user's secret in one of the two forms of `pg_authid.rolpassword`. Printing it shows nothing.
package enum StoredSecret: Hashable, Sendable {
    case scram(ScramVerifier)
    /// The 32 hexadecimal digits of MD5 over password and user name.
    case md5(hexDigits: [UInt8])

    /// Nil where `text` is neither.
    package init?(_ text: String) {
        if let verifier = ScramVerifier(text) {
            self = .scram(verifier)
            return
        }
        guard text.hasPrefix("md5"), text.utf8.count == 35 else { return nil }
        let digits = Array(text.utf8.dropFirst(3))
        guard digits.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else { return nil }
        self = .md5(hexDigits: digits)
    }
}

extension StoredSecret: CustomStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// The MD5 exchange of the protocol. Old clients need it; it is refused unless the configuration
/// allows it.
enum MD5Exchange {
    /// What a client answers to `salt`: `md5` and MD5 over the stored digits and the salt.
    static func answer(hexDigits: [UInt8], salt: [UInt8]) -> [UInt8] {
        Array("md5".utf8) + hex(hexDigits + salt)
    }

    static func hex(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return Insecure.MD5.hash(data: bytes).flatMap {
            [digits[Int($0 >> 4)], digits[Int($0 & 15)]]
        }
    }
}
