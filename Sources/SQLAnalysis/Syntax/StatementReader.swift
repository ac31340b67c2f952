/// Reads one statement's top-level node.
struct StatementReader {
    /// The whole text, for what the tree leaves out.
    let sql: String

    func facts(of tree: SyntaxTree) -> SyntaxFacts {
        guard let (tag, fields) = tree.node else {
            return SyntaxFacts(kind: .opaque(mayEndTransaction: true))
        }
        switch tag {
        case "SelectStmt": return select(tree, fields)
        case "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt":
            return collected(tree, kind: .dataModification)
        case "CopyStmt": return copy(fields)
        case "TruncateStmt": return truncate(fields)
        case "RefreshMatViewStmt":
            var facts = SyntaxFacts(kind: .dataModification)
            guard let name = SyntaxCollector.relationName(fields["relation"]) else {
                return SyntaxFacts(kind: .definition)
            }
            facts.writes = [WriteTarget(relation: name, action: .refresh)]
            return facts
        case "ExplainStmt": return explain(fields)
        case "DeclareCursorStmt":
            var facts = withBypass(statement(fields["query"]), readKind: .harmless)
            if let effect = SessionEffect(ofDeclaration: fields) {
                facts.sessionEffects.append(effect)
            }
            return facts
        case "CreateTableAsStmt": return createTableAs(fields)
        case "CreateStmt": return create(tree, fields["relation"], fields["inhRelations"])
        case "CreateSeqStmt": return create(tree, fields["sequence"], nil)
        case "TransactionStmt": return SyntaxFacts(kind: TransactionReader.kind(fields))
        case "VariableSetStmt": return SyntaxFacts(kind: SettingReader(sql: sql).kind(fields))
        case "DiscardStmt":
            let isAll = fields["target"]?.text == "DISCARD_ALL"
            var facts = SyntaxFacts(kind: isAll ? .setting(.discardAll) : .harmless)
            if fields["target"]?.text == "DISCARD_TEMP" {
                facts.sessionEffects = [.discardTemporaryObjects]
            }
            return facts
        case "ListenStmt", "UnlistenStmt", "ClosePortalStmt", "PrepareStmt", "DeallocateStmt":
            var facts = SyntaxFacts(kind: .harmless)
            facts.sessionEffects = SessionEffect(ofStatement: tag, fields).map { [$0] } ?? []
            return facts
        case "NotifyStmt", "VariableShowStmt", "FetchStmt", "VacuumStmt", "ReindexStmt",
            "CheckPointStmt", "ClusterStmt", "CommentStmt", "ConstraintsSetStmt":
            // None of them changes what a query answers; a cursor's query was judged at DECLARE,
            // a prepared one is judged at EXECUTE.
            return SyntaxFacts(kind: .harmless)
        case "LockStmt": return SyntaxFacts(kind: .locking)
        case "ExecuteStmt":
            // What was prepared under the name is not known here. It cannot end a transaction.
            var facts = SyntaxFacts(kind: .opaque(mayEndTransaction: false))
            if let name = fields["name"]?.text { facts.sessionEffects = [.execute(name: name)] }
            return facts
        case "CallStmt":
            guard let call = fields["funccall"] else {
                return SyntaxFacts(kind: .opaque(mayEndTransaction: true))
            }
            var facts = collected(
                .object([SyntaxTree.Member(name: "FuncCall", value: call)]), kind: .query)
            if case .opaque = facts.kind { facts.kind = .opaque(mayEndTransaction: true) }
            facts.mayEndTransaction = true
            facts.bypass(.notARead)
            return facts
        case "DoStmt":
            guard let code = CodeBlock(fields) else {
                return SyntaxFacts(kind: .opaque(mayEndTransaction: true))
            }
            var facts = SyntaxFacts(kind: .query)
            facts.code = code
            facts.mayEndTransaction = true
            facts.bypass(.notARead)
            return facts
        case "LoadStmt":
            return SyntaxFacts(kind: .opaque(mayEndTransaction: true))
        default:
            var facts = definition(tree)
            if let database = SessionEffect.databaseNeededAlone(by: tag, fields) {
                facts.sessionEffects.append(.needDatabaseAlone(name: database))
            }
            return facts
        }
    }

    private func statement(_ tree: SyntaxTree?) -> SyntaxFacts {
        guard let tree else { return SyntaxFacts(kind: .opaque(mayEndTransaction: true)) }
        return facts(of: tree)
    }

    private func collected(_ tree: SyntaxTree, kind: SyntaxFacts.Kind) -> SyntaxFacts {
        var collector = SyntaxCollector(kind: kind, sql: sql)
        collector.walk(tree)
        return collector.finish()
    }

    private func select(_ tree: SyntaxTree, _ fields: SyntaxTree) -> SyntaxFacts {
        if let into = fields["intoClause"] {
            return table(into["rel"], from: collected(tree, kind: .query))
        }
        if let change = SettingReader(sql: sql).setConfiguration(fields) {
            return SyntaxFacts(kind: .setting(change))
        }
        return collected(tree, kind: .query)
    }

    /// SELECT INTO and CREATE TABLE AS, with the facts of their query.
    private func table(_ target: SyntaxTree?, from query: SyntaxFacts) -> SyntaxFacts {
        var facts = query
        switch query.kind {
        case .opaque: return query
        case .setting: facts.functions = [FunctionUse(name: "set_config", argumentCount: 3)]
        default: break
        }
        facts.kind = isTemporary(target) ? .temporaryObject : .definition
        facts.bypass(.notARead)
        return facts
    }

    private func createTableAs(_ fields: SyntaxTree) -> SyntaxFacts {
        table(fields["into"]?["rel"], from: statement(fields["query"]))
    }

    private func create(
        _ tree: SyntaxTree, _ target: SyntaxTree?, _ parents: SyntaxTree?
    ) -> SyntaxFacts {
        // A temporary child of a permanent table becomes part of that table's family.
        guard isTemporary(target), parents?.elements?.isEmpty ?? true else {
            return definition(tree)
        }
        return SyntaxFacts(kind: .temporaryObject)
    }

    private func isTemporary(_ relation: SyntaxTree?) -> Bool {
        relation?["relpersistence"]?.text == "t"
            || SyntaxCollector.relationName(relation)?.isTemporary ?? false
    }

    /// DDL: what it may leave in the session shows in the names it mentions.
    private func definition(_ tree: SyntaxTree) -> SyntaxFacts {
        var facts = SyntaxFacts(kind: .definition)
        if mentionsSessionState(tree) {
            facts.functions = [FunctionUse(name: "set_config", argumentCount: 3)]
        }
        return facts
    }

    private func mentionsSessionState(_ tree: SyntaxTree) -> Bool {
        switch tree {
        case .object(let members):
            members.contains {
                ($0.name == "relpersistence" && $0.value.text == "t")
                    || mentionsSessionState($0.value)
            }
        case .array(let elements): elements.contains(where: mentionsSessionState)
        case .string(let text):
            text == "set_config" || text == "setseed" || text.hasPrefix("pg_advisory_")
                || text.hasPrefix("pg_try_advisory_") || RelationName.isTemporarySchema(text)
        case .integer, .boolean, .null: false
        }
    }

    private func copy(_ fields: SyntaxTree) -> SyntaxFacts {
        if fields["is_program"]?.isTrue == true {
            return SyntaxFacts(kind: .opaque(mayEndTransaction: false))
        }
        if let query = fields["query"] {
            return withBypass(statement(query), readKind: .query)
        }
        guard let name = SyntaxCollector.relationName(fields["relation"]) else {
            return SyntaxFacts(kind: .opaque(mayEndTransaction: false))
        }
        guard fields["is_from"]?.isTrue == true else {
            var facts = SyntaxFacts(kind: .query)
            facts.reads = [name]
            facts.bypass(.notARead)
            return facts
        }
        var collector = SyntaxCollector(kind: .dataModification)
        collector.facts.writes = [WriteTarget(relation: name, action: .insert)]
        if let condition = fields["whereClause"] { collector.walk(condition) }
        return collector.finish()
    }

    private func truncate(_ fields: SyntaxTree) -> SyntaxFacts {
        var facts = SyntaxFacts(kind: .dataModification)
        let cascade = fields["behavior"]?.text == "DROP_CASCADE"
        for relation in fields["relations"]?.elements ?? [] {
            guard let name = SyntaxCollector.relationName(relation.fields(of: "RangeVar")) else {
                return SyntaxFacts(kind: .definition)
            }
            facts.writes.insert(WriteTarget(relation: name, action: .truncate(cascade: cascade)))
        }
        return facts
    }

    private func explain(_ fields: SyntaxTree) -> SyntaxFacts {
        let analyzes = (fields["options"]?.elements ?? []).contains {
            $0.fields(of: "DefElem")?["defname"]?.text == "analyze"
        }
        var facts = statement(fields["query"])
        if analyzes { return withBypass(facts, readKind: .query) }
        // Planned but not run. Planning evaluates non-volatile functions, so those stay in view.
        switch facts.kind {
        case .opaque:
            var harmless = SyntaxFacts(kind: .harmless)
            harmless.sessionEffects = facts.sessionEffects
            return harmless
        default:
            facts.kind = .harmless
            facts.writes = []
            facts.takesRowLocks = false
            facts.bypass(.notARead)
            return facts
        }
    }

    /// The same statement run in a wrapper that is never answered from memory.
    private func withBypass(
        _ inner: SyntaxFacts, readKind: SyntaxFacts.Kind
    ) -> SyntaxFacts {
        var facts = inner
        switch facts.kind {
        case .query: if facts.writes.isEmpty, !facts.takesRowLocks { facts.kind = readKind }
        case .setting: facts.kind = .setting(.unknown)
        default: break
        }
        facts.bypass(.notARead)
        return facts
    }
}
