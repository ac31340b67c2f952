import PostgresWire
import SQLAnalysis
import Upstream

// Asking the server for the session's settings, where they cannot be followed.

extension ClientSession {
    /// Whether the session's state has to be asked for, and can be, before a read can be looked up.
    var canProbe: Bool {
        (settings.isTainted && !hasProbed || settings.custom.mustAsk)
            && transaction.isIdleUpstream && ledger.isEmpty
            && openSegment == nil && services.isServingFromCache
            && services.upstream.settingsProbe != nil
    }

    /// Learns from a statement's profile which settings its answer depends on: they are part of the
    /// session's identity from here on. True where that has changed it, so that the statement has
    /// to be looked up again.
    func noteSettingsRead(by profile: QueryProfile) -> Bool {
        guard profile.statements.count == 1, profile.statements[0].isCacheable,
            !profile.statements[0].settingsRead.isEmpty,
            settings.need(profile.statements[0].settingsRead)
        else { return false }
        let before = identity
        refreshIdentity()
        return identity != before
    }

    func needsProbe(before profile: QueryProfile) -> Bool {
        guard canProbe, profile.statements.count == 1 else { return false }
        // A mirror without a catalog of its own cannot tell; the node that it follows may have it.
        return profile.statements[0].isCacheable
            || (services.right.isFollowing
                && profile.statements[0].bypassReason == .catalogNotReady)
    }

    /// Asks the server for its settings; `frame` is looked at again when they are there.
    func probeSettings(holding frame: MessageFrame) throws(PostgresError) {
        guard let all = services.upstream.settingsProbe else { return }
        let names = settings.custom.unknown
        let question = CustomSettings.question(for: names)
        let asksAll = settings.isTainted || question == nil
        let query = [asksAll ? all : nil, question].compactMap(\.self)
            .joined(separator: " UNION ALL ")
        if asksAll { hasProbed = true }
        // Ahead of a BEGIN that the upstream has not been sent: the answer holds for the block too.
        guard try linkIsAttached(holding: frame) else {
            if asksAll { hasProbed = false }
            return
        }
        try connectLink()
        pendingProbe = suspend(.upstream, holding: frame)
        sendAbsorbed(query, probe: ProbedSettings(customNames: names))
    }

    func settle(_ probe: ProbedSettings, _ segment: ForwardedSegment) {
        let values = probe.values()
        if !segment.hasFailed, values[ProbedSettings.temporaryObjectsRow] == "f" {
            settings.probed(values)
        }
        if probe.asksForPins { settlePins(asked: values, failed: segment.hasFailed) }
        let custom = segment.hasFailed ? [:] : CustomSettings.values(in: values)
        settings.answered(probe.customNames, custom)
        refreshIdentity()
        guard let number = pendingProbe else { return }
        pendingProbe = nil
        resume(number)
    }
}
