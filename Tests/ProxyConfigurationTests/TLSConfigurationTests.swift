import Testing

@testable import ProxyConfiguration

@Suite("[tls]")
struct TLSConfigurationTests {
    private func parsed(_ text: String) throws -> ProxyConfiguration {
        try ProxyConfiguration.parse(
            "upstream.url = \"sqlite:x.db\"\n[tls]\n" + text, source: "proxy.conf",
            directory: "/etc/mynah")
    }

    @Test("Without certificates it is off")
    func defaults() throws {
        let tls = try parsed("").tls
        #expect(tls.mode == .off)
        #expect(tls.certificate == nil && tls.key == nil && tls.clientCA == nil)
        #expect(tls.minimumVersion == .tls12)
        #expect(try parsed("certificate = \"\"\nkey = \"\"").tls == tls)
    }

    @Test("A certificate and its key turn it on; relative paths count from the file")
    func certificate() throws {
        let tls = try parsed(
            "certificate = \"tls/a.crt\"\nkey = \"/b.key\"\nclient_ca = \"ca.crt\""
        ).tls
        #expect(tls.mode == .allow)
        #expect(tls.certificate == "/etc/mynah/tls/a.crt")
        #expect(tls.key == "/b.key")
        #expect(tls.clientCA == "/etc/mynah/ca.crt")
    }

    @Test("The mode and the oldest version are as written")
    func modes() throws {
        let files = "certificate = \"a\"\nkey = \"b\"\n"
        #expect(try parsed(files + "mode = \"off\"").tls.mode == .off)
        #expect(try parsed(files + "mode = \"require\"").tls.mode == .require)
        #expect(try parsed(files + "min_version = \"1.3\"").tls.minimumVersion == .tls13)
    }

    @Test("What is missing or wrong is named with its key")
    func errors() throws {
        for (text, expected) in [
            ("mode = \"require\"", "proxy.conf: tls.certificate: missing"),
            ("certificate = \"a\"", "proxy.conf: tls.key: missing"),
            ("key = \"a\"", "proxy.conf: tls.certificate: missing"),
            ("client_ca = \"a\"", "proxy.conf:3: tls.client_ca: has no effect"),
            ("mode = \"on\"", "proxy.conf:3: tls.mode: found \"on\""),
            ("mode = true", "proxy.conf:3: tls.mode: found true"),
            ("min_version = \"1.1\"", "proxy.conf:3: tls.min_version: found \"1.1\""),
            ("cert = \"a\"", "proxy.conf:3: tls.cert: unknown key"),
        ] {
            let error = #expect(throws: ConfigurationError.self) { try parsed(text) }
            #expect(error?.description.hasPrefix(expected) == true, "\(error?.description ?? "")")
        }
    }

    @Test("Its keys are shown among the settings in effect, and can change at run time")
    func effect() throws {
        let old = try parsed("certificate = \"a\"\nkey = \"b\"")
        let new = try parsed("certificate = \"c\"\nkey = \"b\"\nmode = \"require\"")
        #expect(new.changesNeedingRestart(from: old).isEmpty)
        #expect(new.changesAtRunTime(from: old) == ["tls.mode", "tls.certificate"])
        #expect(new.effectiveText.contains("[tls]\nmode = \"require\""))
    }
}
