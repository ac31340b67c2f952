/// A parse tree in libpg_query's JSON form, which mirrors PostgreSQL's `parsenodes.h`.
///
/// A field declared as a plain `Node` holds an object with one member named after the node's tag;
/// a field declared as a certain struct holds that struct's fields without a tag. Zero, false and
/// NULL fields are left out.
package indirect enum SyntaxTree: Sendable {
    case object([Member])
    case array([SyntaxTree])
    case string(String)
    case integer(Int)
    case boolean(Bool)
    case null

    package struct Member: Sendable {
        package let name: String
        package let value: SyntaxTree
    }

    package subscript(_ name: String) -> SyntaxTree? {
        guard case .object(let members) = self else { return nil }
        for member in members where member.name == name { return member.value }
        return nil
    }

    package var members: [Member] {
        if case .object(let members) = self { members } else { [] }
    }

    package var elements: [SyntaxTree]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    package var text: String? {
        if case .string(let text) = self { text } else { nil }
    }

    package var integer: Int? {
        if case .integer(let integer) = self { integer } else { nil }
    }

    package var isTrue: Bool {
        if case .boolean(true) = self { true } else { false }
    }

    /// The tag and the fields of a tagged node; nil for anything else.
    package var node: (tag: String, fields: SyntaxTree)? {
        guard case .object(let members) = self, members.count == 1,
            let first = members[0].name.utf8.first, first >= 0x41, first <= 0x5a
        else { return nil }
        return (members[0].name, members[0].value)
    }

    /// The fields of a node with this tag.
    package func fields(of tag: String) -> SyntaxTree? {
        guard let node, node.tag == tag else { return nil }
        return node.fields
    }

    /// The strings of a list of `String` nodes (a qualified name); nil if anything else is in it.
    package var names: [String]? {
        guard let elements else { return nil }
        var names: [String] = []
        for element in elements {
            guard let name = element.fields(of: "String")?["sval"]?.text else { return nil }
            names.append(name)
        }
        return names
    }
}
