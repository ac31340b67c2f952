/// Gives constants and parameters the meaning that they have beside a column of a keyable type.
/// nil wherever the server might read another value.
struct OperandReader {
    let catalog: PostgreSQLCatalog
    let path: SearchPath
    /// As declared at Parse; 0, or none, where the server finds the type from its place.
    let parameterTypes: [UInt32]
    /// How often each parameter occurs in the statement.
    let parameterUses: [Int: Int]

    /// What a list beside a column of this type stands for: IN, and a single `=`.
    func operands(_ literals: [KeyLiteral], comparedWith type: KeyType) -> [KeyOperand]? {
        if literals.count > 1, literals.contains(where: isInferred) {
            // The list has one type: that of the column only if nothing in it has another.
            let areOfOneType = literals.allSatisfy {
                switch $0 {
                case .string, .null: true
                case .integer(let value):
                    type == .integer(width: 4) && Int32(exactly: value) != nil
                case .boolean: type == .boolean
                case .parameter: isInferred($0)
                case .cast: false
                }
            }
            guard areOfOneType else { return nil }
        }
        var operands: [KeyOperand] = []
        for literal in literals {
            guard let operand = operand(literal, type) else { return nil }
            if !operands.contains(operand) { operands.append(operand) }
        }
        return operands
    }

    private func isInferred(_ literal: KeyLiteral) -> Bool {
        if case .parameter(let index) = literal { isUndeclared(index) } else { false }
    }

    /// What a column becomes that is set to the literal. `isLimited` is whether the column's type
    /// has a modifier: varchar(n) drops spaces at the end of what is too long.
    func operand(
        _ literal: KeyLiteral, assignedTo type: KeyType, isLimited: Bool
    ) -> KeyOperand? {
        let operand = operand(literal, type)
        guard isLimited, type == .text else { return operand }
        switch operand {
        case .value(.text(let bytes))?:
            return bytes.last == UInt8(ascii: " ") ? nil : operand
        case .null?: return operand
        default: return nil
        }
    }

    private func operand(_ literal: KeyLiteral, _ type: KeyType) -> KeyOperand? {
        switch literal {
        case .null: return .null
        case .integer(let value):
            guard case .integer = type else { return nil }
            return .value(.integer(value))
        case .boolean(let value): return type == .boolean ? .value(.boolean(value)) : nil
        case .string(let text): return KeyValue(text: text, as: type).map(KeyOperand.value)
        case .parameter(let index): return parameter(index, type).map { .parameter(index, $0) }
        case .cast(let inner, let use):
            guard let target = keyType(use), target.isComparable(with: type) else { return nil }
            // In a cast the parameter's place is that of the cast's type.
            return operand(inner, target)
        }
    }

    /// Any element of an array parameter.
    func anyElement(
        of index: Int, cast: TypeUse?, comparedWith type: KeyType
    ) -> KeyOperand? {
        var elementType = type
        if let cast {
            guard let target = keyType(cast), target.isComparable(with: type) else { return nil }
            elementType = target
        }
        if isUndeclared(index) {
            guard parameterUses[index] == 1 else { return nil }
        } else {
            guard let declared = Self.elementType(ofArray: parameterTypes[index]),
                declared.isComparable(with: elementType)
            else { return nil }
            elementType = declared
        }
        return .anyElement(ofParameter: index, elementType)
    }

    // MARK: Types

    private func isUndeclared(_ index: Int) -> Bool {
        // 705 is `unknown`.
        index >= parameterTypes.count || parameterTypes[index] == 0 || parameterTypes[index] == 705
    }

    /// The type that a parameter has in the place of a value of `type`.
    private func parameter(_ index: Int, _ type: KeyType) -> KeyType? {
        if isUndeclared(index) {
            // Its first place decides, and this is its only one.
            return parameterUses[index] == 1 ? type : nil
        }
        guard let declared = KeyType(columnType: parameterTypes[index]),
            declared.isComparable(with: type)
        else { return nil }
        return declared
    }

    /// The key type that a cast names, if the name can mean nothing else.
    private func keyType(_ use: TypeUse) -> KeyType? {
        guard catalog.types(for: use, path: path).count == 1,
            use.schema == nil || use.schema == "pg_catalog"
        else { return nil }
        switch use.name {
        case "bool": return .boolean
        case "int2": return .integer(width: 2)
        case "int4": return .integer(width: 4)
        case "int8": return .integer(width: 8)
        case "text", "varchar": return .text
        case "date": return .date
        case "uuid": return .uuid
        default: return nil
        }
    }

    private static func elementType(ofArray oid: UInt32) -> KeyType? {
        switch oid {
        case 1_000: .boolean
        case 1_005: .integer(width: 2)
        case 1_007: .integer(width: 4)
        case 1_016: .integer(width: 8)
        case 1_009, 1_015: .text
        case 1_182: .date
        case 2_951: .uuid
        default: nil
        }
    }
}
