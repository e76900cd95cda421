import ArgumentParser
import Configuration

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract:
            "Shows the settings in force and where each comes from, checks them against the live servers, and says the fix.",
        discussion: """
            Tells nobody anything and changes nothing, but for an object that it stores and removes.

              martlet doctor
              martlet doctor --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    private struct Setting: Encodable {
        var key: String
        var variable: String
        /// Secrets are `set` or `not set`.
        var value: String
        var origin: String
    }

    private struct Document: Encodable {
        var settings: [Setting]
        var checks: [Doctor.Finding]
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let findings = await Doctor(settings).examine()
            switch format.output {
            case .json:
                let inForce = settings.effective.map {
                    Setting(key: $0.key, variable: $0.variable, value: $0.value, origin: "\($0.origin)")
                }
                print(try JSONText.of(Document(settings: inForce, checks: findings)))
            case .table:
                print("\(settings)\n")
                for finding in findings {
                    print("\(finding.ok ? "✓" : "✗") \(finding.check): \(finding.detail)")
                    if let fix = finding.fix { print("    \(fix)") }
                }
            }
            if findings.contains(where: { !$0.ok }) { throw ExitCodes.failed }
        }
    }
}
