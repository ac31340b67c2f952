/// The PostgreSQL type that a column declared in SQLite is shown as.
///
/// SQLite's declared types are free text; an INTEGER column holds 64 bits, so that every integer
/// spelling becomes `bigint`. https://www.sqlite.org/datatype3.html
package struct SQLiteDeclaredType: Hashable, Sendable {
    package let typeOID: UInt32
    /// `atttypmod`: the length of `varchar(n)`, precision and scale of `numeric(p,s)`; -1 for none.
    package let modifier: Int32

    package init(_ declaration: String) {
        let lowered = declaration.lowercased()
        let name = lowered.prefix { $0 != "(" }.split(separator: " ").joined(separator: " ")
        var numbers: [Int32] = []
        if let open = lowered.firstIndex(of: "("), let close = lowered.lastIndex(of: ")"),
            open < close
        {
            numbers = lowered[lowered.index(after: open)..<close].split(separator: ",")
                .compactMap { Int32($0.filter { $0 != " " }) }
        }
        let isZoned = lowered.hasSuffix("with time zone")
        switch name {
        case "varchar", "character varying", "nvarchar", "varying character", "native character":
            self.init(CatalogType.varchar, length: numbers.first)
        case "char", "character", "nchar", "bpchar":
            self.init(CatalogType.bpchar, length: numbers.first ?? 1)
        case "bool", "boolean": self.init(CatalogType.bool)
        case "date": self.init(CatalogType.date)
        case "timestamptz": self.init(CatalogType.timestamptz)
        case "uuid": self.init(CatalogType.uuid)
        case "json": self.init(CatalogType.json)
        case "jsonb": self.init(CatalogType.jsonb)
        case "numeric", "decimal":
            if let precision = numbers.first, (1...1000).contains(precision) {
                let scale = numbers.count > 1 ? numbers[1] : 0
                self.init(
                    typeOID: CatalogType.numeric,
                    modifier: (precision << 16 | (max(0, scale) & 0x7ff)) + 4)
            } else {
                self.init(CatalogType.numeric)
            }
        case _ where name.hasPrefix("timestamp") || name.hasPrefix("datetime"):
            self.init(isZoned ? CatalogType.timestamptz : CatalogType.timestamp)
        case _ where name.hasPrefix("time"): self.init(isZoned ? 1266 : CatalogType.time)
        case "interval", "point": self.init(CatalogType.text)
        case _ where name.contains("int") || name.hasSuffix("serial"):
            self.init(CatalogType.int8)
        case _ where name.contains("char") || name.contains("clob") || name.contains("text"):
            self.init(CatalogType.text)
        case _ where name.contains("blob") || name == "bytea": self.init(CatalogType.bytea)
        case _ where name.contains("real") || name.contains("floa") || name.contains("doub"):
            self.init(CatalogType.float8)
        default: self.init(CatalogType.text)
        }
    }

    private init(typeOID: UInt32, modifier: Int32) {
        self.typeOID = typeOID
        self.modifier = modifier
    }

    private init(_ typeOID: UInt32, length: Int32? = nil) {
        self.typeOID = typeOID
        if let length, (1...10_485_760).contains(length) {
            self.modifier = length + 4
        } else {
            self.modifier = -1
        }
    }
}
