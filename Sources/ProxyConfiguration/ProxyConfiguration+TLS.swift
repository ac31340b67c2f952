extension ProxyConfiguration.TLS {
    init(_ reader: SectionReader, directory: String) throws(ConfigurationError) {
        certificate = try Self.path(.tlsCertificate, reader, directory)
        key = try Self.path(.tlsKey, reader, directory)
        clientCA = try Self.path(.tlsClientCA, reader, directory)
        mode = try Self.choice(.tlsMode, reader) ?? (certificate == nil ? .off : .allow)
        minimumVersion = try Self.choice(.tlsMinimumVersion, reader) ?? .tls12
        let isWanted = mode != .off || certificate != nil || key != nil
        if isWanted, certificate == nil {
            throw reader.error(.tlsCertificate, "missing", allowed: Self.allowed)
        }
        if isWanted, key == nil {
            throw reader.error(.tlsKey, "missing", allowed: Self.allowed)
        }
        if clientCA != nil, mode == .off {
            throw reader.error(.tlsClientCA, "has no effect with tls.mode = \"off\"")
        }
    }

    private static let allowed =
        "the path of a PEM file, absolute or relative to the "
        + "configuration file's directory"

    private static func path(
        _ key: ConfigurationKey, _ reader: SectionReader, _ directory: String
    ) throws(ConfigurationError) -> String? {
        guard let text = try reader.string(key, allowed: allowed), !text.isEmpty else {
            return nil
        }
        return text.hasPrefix("/") ? text : "\(directory)/\(text)"
    }

    private static func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: ConfigurationKey, _ reader: SectionReader
    ) throws(ConfigurationError) -> Choice? {
        let names = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        guard let text = try reader.string(key, allowed: names) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            throw reader.error(key, "found \(SectionReader.quoted(text))", allowed: names)
        }
        return choice
    }
}
