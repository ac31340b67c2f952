/// A user's or database's name, compared byte by byte as the server does: Swift holds strings equal
/// that only look the same.
package struct ExactName: Hashable, Sendable {
    private let bytes: [UInt8]

    package init(_ name: String) {
        bytes = Array(name.utf8)
    }
}
