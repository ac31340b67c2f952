import PostgresWire

/// What the functions that SQLite and PostgreSQL share return, in PostgreSQL's types.
enum FunctionTypes {
    static func result(of name: String, arguments: [PostgresType?]) -> PostgresType? {
        let first = arguments.first ?? nil
        switch name {
        case "length", "char_length", "character_length", "octet_length", "instr", "strpos",
            "position", "unicode", "ascii", "ntile", "json_array_length":
            return .int4
        case "count", "row_number", "rank", "dense_rank", "sign", "changes", "total_changes",
            "last_insert_rowid", "random", "unixepoch":
            return .int8
        case "sum":
            switch first {
            case .int2?, .int4?, .int8?, .bool?: return .int8
            case .numeric?: return .numeric
            default: return .float8
            }
        case "avg": return first == .numeric ? .numeric : .float8
        case "total", "julianday", "percent_rank", "cume_dist", "sqrt", "exp", "ln", "log", "log10",
            "power", "pow", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "pi", "degrees",
            "radians":
            return .float8
        case "abs", "min", "max", "lag", "lead", "first_value", "last_value", "nth_value",
            "nullif", "greatest", "least", "likely", "unlikely":
            return first
        case "round", "ceil", "ceiling", "floor", "trunc":
            return first == .numeric ? .numeric : .float8
        case "ifnull", "coalesce": return arguments.compactMap { $0 }.first
        case "iif":
            let branches = arguments.dropFirst().compactMap { $0 }
            return branches.first
        case "lower", "upper", "trim", "btrim", "ltrim", "rtrim", "substr", "substring", "replace",
            "concat", "concat_ws", "group_concat", "string_agg", "hex", "quote", "printf",
            "format", "typeof", "char", "chr", "initcap", "left", "right", "lpad", "rpad", "repeat",
            "reverse", "md5", "to_char", "strftime", "json_extract", "json_type", "time", "date",
            "datetime", "split_part", "sqlite_version", "version":
            return .text
        case "json", "json_array", "json_object", "json_group_array", "json_group_object",
            "json_agg", "json_build_object":
            return .json
        case "jsonb_agg", "jsonb_build_object": return .jsonb
        case "exists", "starts_with", "like", "glob", "bool_and", "bool_or", "every":
            return .bool
        case "now", "transaction_timestamp", "statement_timestamp", "clock_timestamp":
            return .timestamptz
        case "randomblob", "zeroblob", "unhex": return .bytea
        case "gen_random_uuid": return .uuid
        default: return nil
        }
    }

    /// The types that a function's arguments have; the last counts for all further ones.
    static func parameters(of name: String) -> [PostgresType]? {
        switch name {
        case "lower", "upper", "trim", "btrim", "ltrim", "rtrim", "replace", "length", "concat",
            "instr", "strpos", "char_length", "md5", "starts_with", "like", "initcap":
            return [.text]
        case "substr", "substring", "left", "right", "repeat": return [.text, .int8]
        case "lpad", "rpad": return [.text, .int8, .text]
        case "round", "power", "sqrt", "exp", "ln": return [.float8]
        default: return nil
        }
    }
}
