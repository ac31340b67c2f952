/// The settings of a session that the model's answers depend on.
struct ModelSettings: Equatable {
    enum Path: Int, CaseIterable {
        case login, alt, publicOnly

        var text: String {
            switch self {
            case .login: "\"$user\", public"
            case .alt: "alt, public"
            case .publicOnly: "public"
            }
        }
    }

    enum Role: String, CaseIterable { case none, alice, bob }

    var path = Path.login
    var role = Role.none
    /// An index into `zones`.
    var zone = 0
    var isRepeatableReadByDefault = false
    /// nil: none was given at login.
    var applicationName: String?

    static let zones = ["UTC", "Asia/Tokyo"]

    /// The table that `item` means.
    var item: ModelTable {
        switch (path, role) {
        case (.alt, _): .itemAlt
        case (.login, .alice): .itemAlice
        case (.login, .bob): .itemBob
        case (.login, .none), (.publicOnly, _): .item
        }
    }

    /// By name, as the server prints them.
    var printed: [String: String] {
        [
            "search_path": path.text, "role": role.rawValue,
            "default_transaction_isolation":
                isRepeatableReadByDefault ? "repeatable read" : "read committed",
        ]
    }

    var zoneName: String { Self.zones[zone] }
}

/// A change of one of them.
enum ModelSettingChange: Equatable {
    case path(ModelSettings.Path)
    case role(ModelSettings.Role)
    case zone(Int)
    case isolation(repeatableRead: Bool)
    case applicationName(String)
    case resetPath, resetRole, resetZone, resetIsolation, resetApplicationName
    case resetAll

    var isReset: Bool {
        switch self {
        case .resetPath, .resetRole, .resetZone, .resetIsolation, .resetApplicationName, .resetAll:
            true
        case .path, .role, .zone, .isolation, .applicationName: false
        }
    }

    func apply(to settings: inout ModelSettings) {
        switch self {
        case .path(let path): settings.path = path
        case .role(let role): settings.role = role
        case .zone(let zone): settings.zone = zone
        case .isolation(let repeatableRead): settings.isRepeatableReadByDefault = repeatableRead
        case .resetPath: settings.path = .login
        case .resetRole: settings.role = .none
        case .resetZone: settings.zone = 0
        case .applicationName(let name): settings.applicationName = name
        case .resetIsolation: settings.isRepeatableReadByDefault = false
        case .resetApplicationName: settings.applicationName = nil
        case .resetAll:
            // RESET ALL leaves the role alone.
            let role = settings.role
            settings = ModelSettings()
            settings.role = role
        }
    }
}
