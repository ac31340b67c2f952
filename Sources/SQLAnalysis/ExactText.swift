/// A text as something to find by: equal only to a text of the same bytes.
///
/// Strings are equal here if they are canonically equivalent (é, and e with an accent). To both
/// databases such texts are two statements, two names and two values.
package struct ExactText: Hashable, Sendable {
    package let text: String

    package init(_ text: String) { self.text = text }

    package static func == (one: ExactText, other: ExactText) -> Bool {
        one.text.utf8.elementsEqual(other.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension Dictionary where Key == ExactText {
    package subscript(_ text: String) -> Value? {
        get { self[ExactText(text)] }
        set { self[ExactText(text)] = newValue }
    }

    @discardableResult
    package mutating func removeValue(forKey text: String) -> Value? {
        removeValue(forKey: ExactText(text))
    }
}
