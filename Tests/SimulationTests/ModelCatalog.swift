import SQLAnalysis

/// The catalog of the model database, as PostgreSQL would describe it.
enum ModelCatalog {
    private static let publicSchema: UInt32 = 2_200
    private static let int4: UInt32 = 23
    static let lowPartition = ModelTable.part.family + 1
    static let highPartition = ModelTable.part.family + 2
    private static let noteFunction: UInt32 = 50_001

    /// `isItemAudited`: whether public.item has its trigger.
    static func rows(isItemAudited: Bool) -> CatalogRows {
        var rows = CatalogRows()
        rows.namespaces = [
            .init(oid: 11, name: "pg_catalog"), .init(oid: publicSchema, name: "public"),
            .init(oid: 20_001, name: "alt"), .init(oid: 20_002, name: "alice"),
            .init(oid: 20_003, name: "bob"),
        ]
        let types: [(UInt32, String)] = [
            (16, "bool"), (20, "int8"), (23, "int4"), (25, "text"), (1_184, "timestamptz"),
        ]
        rows.types = types.map { .init(oid: $0.0, name: $0.1, namespace: 11) }
        rows.types.append(.init(oid: 2_283, name: "anyelement", namespace: 11, kind: "p"))
        rows.functions = [
            .init(
                oid: 101, name: "count", namespace: 11, volatility: "i", argumentTypes: [],
                resultType: 20),
            .init(
                oid: 102, name: "max", namespace: 11, volatility: "i", argumentTypes: [int4],
                resultType: int4),
            .init(
                oid: noteFunction, name: "note", namespace: publicSchema, volatility: "v",
                language: "plpgsql", resultType: 2_279,
                source: """
                    begin
                      insert into public.audit (id, v) values (coalesce(new.id, old.id), 0)
                        on conflict (id) do update set v = excluded.v;
                      return null;
                    end
                    """),
        ]
        addTables(&rows)
        rows.inheritance = [
            .init(child: lowPartition, parent: ModelTable.part.family),
            .init(child: highPartition, parent: ModelTable.part.family),
        ]
        rows.foreignKeys = [
            .init(
                referencing: ModelTable.child.family, ["parent_id"],
                referenced: ModelTable.parent.family, ["id"], onDelete: .cascade)
        ]
        for table in ModelTable.allCases {
            rows.indexes.append(
                .init(
                    relation: table.family, columns: table == .pair ? ["a", "b"] : ["id"],
                    isPrimary: true))
        }
        for partition in [lowPartition, highPartition] {
            rows.indexes.append(.init(relation: partition, columns: ["id"], isPrimary: true))
        }
        rows.triggers = [.init(relation: ModelTable.audited.family, function: noteFunction)]
        if isItemAudited {
            rows.triggers.append(.init(relation: ModelTable.item.family, function: noteFunction))
        }
        return rows
    }

    private static func addTables(_ rows: inout CatalogRows) {
        func table(
            _ oid: UInt32, _ name: String, _ columns: [String], schema: UInt32 = publicSchema,
            kind: Character = "r"
        ) {
            rows.classes.append(.init(oid: oid, name: name, namespace: schema, kind: kind))
            for column in columns {
                rows.attributes.append(.init(relation: oid, name: column, type: int4))
            }
        }
        let columns = ["id", "v"]
        table(ModelTable.item.family, "item", columns)
        table(ModelTable.itemAlt.family, "item", columns, schema: 20_001)
        table(ModelTable.itemAlice.family, "item", columns, schema: 20_002)
        table(ModelTable.itemBob.family, "item", columns, schema: 20_003)
        table(ModelTable.pair.family, "pair", ["a", "b", "v"])
        table(ModelTable.part.family, "part", columns, kind: "p")
        table(lowPartition, "part_low", columns)
        table(highPartition, "part_high", columns)
        table(ModelTable.parent.family, "parent", columns)
        table(ModelTable.child.family, "child", ["id", "parent_id", "v"])
        table(ModelTable.audited.family, "audited", columns)
        table(ModelTable.audit.family, "audit", columns)
        table(41_001, "overview", ["id", "v", "w"], kind: "v")
        rows.definitions = [
            .init(
                relation: 41_001,
                query: "SELECT i.id, i.v, p.v AS w FROM public.item i "
                    + "JOIN public.parent p ON p.id = i.id")
        ]
    }
}
