import ResultCache
import SQLAnalysis
import Synchronization

@testable import Mutants

/// The real analysis over the model database's catalog, which it reads in steps of its own: a
/// statement may have to wait for that, and the catalog may move meanwhile.
///
/// Unchecked: everything happens on the simulation's one thread.
final class ModelAnalyzer: StatementAnalyzer, @unchecked Sendable {
    private struct Question: Hashable {
        let sql: String
        let parameterTypes: [UInt32]
        let context: ResolutionContext
    }

    private struct Picture {
        let isItemAudited: Bool
        let lease: FillLease
    }

    private let catalogCell: VersionCell
    private var picture: Picture?
    private var underWay: (lease: FillLease, isItemAudited: Bool?)?
    private var profiles: [Question: QueryProfile] = [:]
    private var waiting: [(Question, @Sendable (QueryProfile) -> Void)] = []
    /// What is committed of the catalog now.
    var readsItemAudited: () -> Bool = { false }

    init(cells: CellTable, database: String) {
        catalogCell = cells.cell(.catalog(database: database))
    }

    func catalogVersion(database: String) -> UInt64 { catalogCell.current }

    func profile(
        of sql: String, parameterTypes: [UInt32], context: ResolutionContext,
        completion: @escaping @Sendable (QueryProfile) -> Void
    ) -> ProfileLookup {
        let question = Question(sql: sql, parameterTypes: parameterTypes, context: context)
        guard let picture, picture.lease.isValid else {
            if let known = StatementMemo.syntacticProfile(of: sql) {
                return .known(
                    QueryProfile(statements: known, catalogVersion: catalogCell.current))
            }
            waiting.append((question, completion))
            return .pending
        }
        return .known(profile(question, picture))
    }

    private func profile(_ question: Question, _ picture: Picture) -> QueryProfile {
        if let known = profiles[question] { return known }
        let profile = QueryProfile(
            statements: StatementMemo.profiles(
                of: question.sql, parameterTypes: question.parameterTypes,
                context: question.context, isItemAudited: picture.isItemAudited),
            catalogVersion: picture.lease.sum)
        profiles[question] = profile
        return profile
    }

    // MARK: Steps

    var hasWork: Bool { !waiting.isEmpty }

    /// Does the next part of loading the catalog: the cell is looked at, the catalog is read, the
    /// cell is looked at again.
    func step(_ chance: Chance) {
        guard let underWay else {
            if let lease = CellSet([catalogCell]).capture() {
                self.underWay = (lease, nil)
            } else if chance.permille(200) {
                giveUp()
            }
            return
        }
        guard let isItemAudited = underWay.isItemAudited else {
            self.underWay = (underWay.lease, readsItemAudited())
            return
        }
        self.underWay = nil
        guard underWay.lease.isValid else { return }
        let picture = Picture(isItemAudited: isItemAudited, lease: underWay.lease)
        self.picture = picture
        profiles = [:]
        let waiting = waiting
        self.waiting = []
        for (question, completion) in waiting { completion(profile(question, picture)) }
    }

    /// The catalog could not be had in time.
    private func giveUp() {
        let waiting = waiting
        self.waiting = []
        for (question, completion) in waiting {
            completion(
                QueryProfile(
                    statements: StatementMemo.profilesWithoutCatalog(of: question.sql),
                    catalogVersion: .max))
        }
    }
}

/// What analysis says of the model's statements, found out once for all simulations of a process.
enum StatementMemo {
    private struct Question: Hashable {
        let mutant: Mutant?
        let sql: String
        let parameterTypes: [UInt32]
        let context: ResolutionContext
        let isItemAudited: Bool
    }

    private struct Text: Hashable {
        let mutant: Mutant?
        let sql: String
    }

    private struct Picture: Hashable {
        let mutant: Mutant?
        let isItemAudited: Bool
    }

    private static let facts = Mutex<[Text: [SyntaxFacts]?]>([:])
    private static let profiles = Mutex<[Question: [StatementProfile]]>([:])
    private static let catalogs = Mutex<[Picture: PostgreSQLCatalog]>([:])

    private static func facts(of sql: String) -> [SyntaxFacts]? {
        let text = Text(mutant: Mutant.scoped, sql: sql)
        return facts.withLock { facts in
            if let known = facts[text] { return known }
            let made = try? SyntaxAnalysis.facts(of: sql)
            facts[text] = .some(made)
            return made
        }
    }

    static func syntacticProfile(of sql: String) -> [StatementProfile]? {
        guard let facts = facts(of: sql) else { return [.opaque(.unparsed)] }
        let profiles = facts.compactMap(ProfileResolver.syntacticProfile)
        return profiles.count == facts.count ? profiles : nil
    }

    static func profilesWithoutCatalog(of sql: String) -> [StatementProfile] {
        guard let facts = facts(of: sql) else { return [.opaque(.unparsed)] }
        return ProfileResolver.profileWithoutCatalog(of: facts, catalogVersion: 0).statements
    }

    static func profiles(
        of sql: String, parameterTypes: [UInt32], context: ResolutionContext, isItemAudited: Bool
    ) -> [StatementProfile] {
        let question = Question(
            mutant: Mutant.scoped, sql: sql, parameterTypes: parameterTypes, context: context,
            isItemAudited: isItemAudited)
        if let known = profiles.withLock({ $0[question] }) { return known }
        guard let facts = facts(of: sql) else { return [.opaque(.unparsed)] }
        let made = ProfileResolver.profile(
            of: facts, catalog: catalog(isItemAudited: isItemAudited), context: context,
            parameterTypes: parameterTypes, catalogVersion: 0
        ).statements
        profiles.withLock { $0[question] = made }
        return made
    }

    private static func catalog(isItemAudited: Bool) -> PostgreSQLCatalog {
        let picture = Picture(mutant: Mutant.scoped, isItemAudited: isItemAudited)
        return catalogs.withLock { catalogs in
            if let known = catalogs[picture] { return known }
            let made = PostgreSQLCatalog(ModelCatalog.rows(isItemAudited: isItemAudited))
            catalogs[picture] = made
            return made
        }
    }
}
