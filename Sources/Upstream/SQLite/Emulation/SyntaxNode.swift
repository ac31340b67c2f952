import SQLAnalysis

/// A node of PostgreSQL's parse tree with the accessors that translation needs.
///
/// Fields that hold a zero value (0, false, "", an empty list) are absent from the tree, so that
/// every accessor has a default.
struct SyntaxNode {
    /// The node's type: `SelectStmt`, `ColumnRef` …
    let kind: String
    private let fields: SyntaxTree

    init(kind: String, fields: SyntaxTree) {
        self.kind = kind
        self.fields = fields
    }

    /// A tagged node. Nil where `tree` is none.
    init?(_ tree: SyntaxTree?) {
        guard let node = tree?.node else { return nil }
        self.init(kind: node.tag, fields: node.fields)
    }

    func node(_ name: String) -> SyntaxNode? { SyntaxNode(fields[name]) }

    /// A field whose node type is implied, so that the tree does not name it.
    func bare(_ name: String, as kind: String) -> SyntaxNode? {
        guard case .object? = fields[name], let value = fields[name] else { return nil }
        return SyntaxNode(kind: kind, fields: value)
    }

    func nodes(_ name: String) -> [SyntaxNode] {
        (fields[name]?.elements ?? []).compactMap { SyntaxNode($0) }
    }

    func has(_ name: String) -> Bool { fields[name] != nil }
    func text(_ name: String) -> String { fields[name]?.text ?? "" }
    func flag(_ name: String) -> Bool { fields[name]?.isTrue ?? false }
    func integer(_ name: String) -> Int { fields[name]?.integer ?? 0 }

    /// The texts of a list of String nodes (a qualified name); `*` for a star.
    func names(_ name: String) -> [String] {
        nodes(name).map { $0.kind == "String" ? $0.text("sval") : "*" }
    }

    /// The value of a string constant.
    var stringConstant: String? {
        guard kind == "A_Const" else { return nil }
        return bare("sval", as: "String")?.text("sval")
    }

    /// The value of an integer constant.
    var integerConstant: Int? {
        guard kind == "A_Const" else { return nil }
        return bare("ival", as: "Integer")?.integer("ival")
    }

    /// Calls `visit` for this node and all below it.
    func walk(_ visit: (SyntaxNode) -> Void) {
        visit(self)
        Self.walk(fields, visit)
    }

    private static func walk(_ tree: SyntaxTree, _ visit: (SyntaxNode) -> Void) {
        for element in tree.elements ?? [] { walk(element, visit) }
        if let node = SyntaxNode(tree) {
            node.walk(visit)
        } else {
            for member in tree.members { walk(member.value, visit) }
        }
    }
}
