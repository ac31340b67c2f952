import Testing

@testable import SQLAnalysis

extension SampleCatalog {
    /// What is known of each statement of `sql` in a session on this catalog.
    static func profiles(
        _ sql: String, path: String = "\"$user\", public", role: String = "app",
        parameterTypes: [UInt32] = []
    ) throws -> [StatementProfile] {
        ProfileResolver.profile(
            of: try SyntaxAnalysis.facts(of: sql), catalog: catalog,
            context: ResolutionContext(
                database: "shop", sessionUser: role, currentRole: role, searchPath: path),
            parameterTypes: parameterTypes, catalogVersion: 7
        ).statements
    }

    /// What is known of the only statement of `sql`.
    static func profile(
        _ sql: String, path: String = "\"$user\", public", role: String = "app",
        parameterTypes: [UInt32] = []
    ) throws -> StatementProfile {
        try #require(profiles(sql, path: path, role: role, parameterTypes: parameterTypes).first)
    }
}
