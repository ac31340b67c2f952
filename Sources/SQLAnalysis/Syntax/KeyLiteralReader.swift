/// Reads constants and what they are compared with out of expressions.
struct KeyLiteralReader {
    /// The whole text, for the integers that the tree leaves out.
    let sql: String

    /// nil for anything that is not certainly a constant.
    func literal(_ tree: SyntaxTree?) -> KeyLiteral? {
        guard let (tag, fields) = tree?.node else { return nil }
        switch tag {
        case "A_Const": return constant(fields)
        case "ParamRef":
            guard let number = fields["number"]?.integer, number > 0 else { return nil }
            return .parameter(number - 1)
        case "TypeCast":
            guard let type = Self.plainType(fields["typeName"]), !type.isArray,
                let inner = literal(fields["arg"])
            else { return nil }
            if case .cast = inner { return nil }
            return .cast(inner, type.use)
        default: return nil
        }
    }

    private func constant(_ fields: SyntaxTree) -> KeyLiteral? {
        if fields["isnull"]?.isTrue == true { return .null }
        if let string = fields["sval"] { return .string(string["sval"]?.text ?? "") }
        if let integer = fields["ival"] {
            return (integer["ival"]?.integer.map(Int64.init) ?? writtenInteger(fields))
                .map(KeyLiteral.integer)
        }
        // What is too large for int4 is a "float", though it has no point.
        if let float = fields["fval"]?["fval"]?.text {
            return Self.integer(float).map(KeyLiteral.integer)
        }
        if let boolean = fields["boolval"] { return .boolean(boolean["boolval"]?.isTrue ?? false) }
        return nil
    }

    /// libpg_query prints neither zero nor negative integers: what is written there says which.
    private func writtenInteger(_ fields: SyntaxTree) -> Int64? {
        guard let location = fields["location"]?.integer, location > 0,
            location < sql.utf8.count
        else { return nil }
        var rest = sql.utf8.dropFirst(location)
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative { rest = rest.dropFirst().drop { $0 == UInt8(ascii: " ") } }
        let digits = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard let value = Int64(String(decoding: digits, as: UTF8.self)) else { return nil }
        // A positive one would have been printed: this is something else than it looks like.
        guard isNegative || value == 0 else { return nil }
        return isNegative ? -value : value
    }

    /// Digits with at most one minus sign; nil for anything else and for more than 64 bits.
    static func integer(_ text: String) -> Int64? {
        let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
        guard digits.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        return Int64(text)
    }

    /// A type without modifier; nil for SETOF, %TYPE and arrays of arrays.
    private static func plainType(_ type: SyntaxTree?) -> (use: TypeUse, isArray: Bool)? {
        guard let names = type?["names"]?.names, let name = names.last, names.count <= 2,
            type?["typmods"] == nil, type?["pct_type"] == nil, type?["setof"] == nil
        else { return nil }
        let bounds = type?["arrayBounds"]?.elements?.count ?? 0
        guard bounds <= 1 else { return nil }
        return (TypeUse(schema: names.count > 1 ? names[0] : nil, name: name), bounds == 1)
    }

    // MARK: Comparisons

    /// What one conjunct says of columns: none for most.
    func comparisons(_ tree: SyntaxTree) -> [KeyScope.Comparison] {
        // An operator with a schema, or another than `=`, is not known to be equality.
        guard let fields = tree.fields(of: "A_Expr"), fields["name"]?.names == ["="] else {
            return []
        }
        switch fields["kind"]?.text {
        case "AEXPR_OP": return equality(fields["lexpr"], fields["rexpr"])
        case "AEXPR_IN":
            guard let column = Self.column(fields["lexpr"]),
                let items = fields["rexpr"]?.fields(of: "List")?["items"]?.elements
            else { return [] }
            return anyOf(column, items)
        case "AEXPR_OP_ANY":
            return Self.column(fields["lexpr"]).map { anyElement($0, fields["rexpr"]) } ?? []
        default: return []
        }
    }

    private func equality(_ left: SyntaxTree?, _ right: SyntaxTree?) -> [KeyScope.Comparison] {
        if let row = left?.fields(of: "RowExpr")?["args"]?.elements,
            let other = right?.fields(of: "RowExpr")?["args"]?.elements, row.count == other.count
        {
            // Rows are equal if each pair is.
            return zip(row, other).flatMap { equality($0, $1) }
        }
        switch (Self.column(left), Self.column(right)) {
        case (let left?, let right?): return [.equal(left, right)]
        case (let column?, nil): return equality(column, right)
        case (nil, let column?): return equality(column, left)
        case (nil, nil): return []
        }
    }

    private func equality(
        _ column: ColumnName, _ value: SyntaxTree?
    ) -> [KeyScope.Comparison] {
        // `= NULL` is IS NULL under transform_null_equals.
        guard let literal = literal(value), literal != .null else { return [] }
        return [.anyOf(column, [literal])]
    }

    private func anyOf(_ column: ColumnName, _ items: [SyntaxTree]) -> [KeyScope.Comparison] {
        guard items.count <= KeyedRows.maximumTuples else { return [] }
        var literals: [KeyLiteral] = []
        for item in items {
            guard let literal = literal(item) else { return [] }
            literals.append(literal)
        }
        return literals.isEmpty ? [] : [.anyOf(column, literals)]
    }

    private func anyElement(
        _ column: ColumnName, _ array: SyntaxTree?
    ) -> [KeyScope.Comparison] {
        guard let (tag, fields) = array?.node else { return [] }
        switch tag {
        case "ParamRef":
            guard case .parameter(let index)? = literal(array) else { return [] }
            return [.anyElement(column, parameter: index, cast: nil)]
        case "TypeCast":
            guard let type = Self.plainType(fields["typeName"]), type.isArray,
                fields["arg"]?.fields(of: "ParamRef") != nil,
                case .parameter(let index)? = literal(fields["arg"])
            else { return [] }
            return [.anyElement(column, parameter: index, cast: type.use)]
        case "A_ArrayExpr":
            // An array's type is found without the column: only elements that have one by
            // themselves keep their meaning. (A list of strings is text[], and then compares
            // with nothing but text.)
            let elements = fields["elements"]?.elements ?? []
            let areTyped = elements.allSatisfy {
                switch literal($0) {
                case .integer?, .boolean?, .string?, .cast?: true
                case .null?, .parameter?, nil: false
                }
            }
            return areTyped ? anyOf(column, elements) : []
        default: return []
        }
    }

    static func column(_ tree: SyntaxTree?) -> ColumnName? {
        guard let names = tree?.fields(of: "ColumnRef")?["fields"]?.names else { return nil }
        switch names.count {
        case 1: return ColumnName(qualifier: nil, name: names[0])
        case 2: return ColumnName(qualifier: names[0], name: names[1])
        default: return nil
        }
    }
}
