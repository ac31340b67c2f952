/// Reads `TransactionStmt` and the options that it shares with SET TRANSACTION.
///
/// https://www.postgresql.org/docs/15/sql-begin.html
enum TransactionReader {
    static func kind(_ fields: SyntaxTree) -> SyntaxFacts.Kind {
        let chain = fields["chain"]?.isTrue ?? false
        switch fields["kind"]?.text {
        case "TRANS_STMT_BEGIN", "TRANS_STMT_START":
            return .transaction(.begin(isolation: isolation(fields["options"])))
        case "TRANS_STMT_COMMIT": return .transaction(.commit(chain: chain))
        case "TRANS_STMT_ROLLBACK": return .transaction(.rollback(chain: chain))
        case "TRANS_STMT_SAVEPOINT": return .transaction(.savepoint)
        case "TRANS_STMT_RELEASE": return .transaction(.releaseSavepoint)
        case "TRANS_STMT_ROLLBACK_TO": return .transaction(.rollbackToSavepoint)
        case "TRANS_STMT_PREPARE": return .transaction(.prepareTransaction)
        case "TRANS_STMT_COMMIT_PREPARED": return .transaction(.commitPrepared)
        case "TRANS_STMT_ROLLBACK_PREPARED": return .transaction(.rollbackPrepared)
        default: return .opaque(mayEndTransaction: true)
        }
    }

    /// The last isolation level named in a list of transaction modes.
    static func isolation(_ options: SyntaxTree?) -> IsolationLevel? {
        var level: IsolationLevel?
        for option in options?.elements ?? [] {
            guard let fields = option.fields(of: "DefElem"),
                fields["defname"]?.text == "transaction_isolation"
            else { continue }
            switch fields["arg"]?.fields(of: "A_Const")?["sval"]?["sval"]?.text {
            case "read uncommitted": level = .readUncommitted
            case "read committed": level = .readCommitted
            case "repeatable read": level = .repeatableRead
            default: level = .serializable
            }
        }
        return level
    }
}
