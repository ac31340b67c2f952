/// The text form of a catalog value, by its PostgreSQL type.
struct CatalogOutput {
    let objects: CatalogObjects
    let user: String

    func text(_ value: CatalogValue, type: UInt32) -> String? {
        guard let plain = value.string else { return nil }
        switch type {
        case CatalogType.bool: return value.number.map { $0 == 0 ? "f" : "t" } ?? plain
        case CatalogType.void: return ""
        case _ where CatalogType.isObjectName(type): return objectName(value, type: type)
        default: break
        }
        guard let definition = CatalogType.byOID[type], definition.isArray || definition.isVector,
            let array = CatalogArray(json: plain)
        else { return plain }
        return array.text(isVector: definition.isVector) { text($0, type: definition.element) }
    }

    private func objectName(_ value: CatalogValue, type: UInt32) -> String? {
        guard let oid = value.oid else { return value.string }
        switch type {
        case CatalogType.regclass: return objects.relationName(oid)
        case CatalogType.regtype: return objects.typeName(oid, modifier: nil) ?? String(oid)
        case CatalogType.regnamespace: return CatalogObjects.namespaceName(oid)
        case CatalogType.regrole:
            return oid == 10 ? SQLQuoting.identifierIfNeeded(user) : oid == 0 ? "-" : String(oid)
        default: return oid == 0 ? "-" : String(oid)
        }
    }
}
