import ArgumentParser
import Configuration
import Foundation
import Ledger
import Pipeline

struct FailedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "failed",
        abstract: "What failed for good: tasks, and messages that could not be used.",
        discussion: """
              martlet failed list
              martlet failed show 12
              martlet failed show r1k7
              martlet run retry r1k7
            """,
        subcommands: [FailedListCommand.self, FailedShowCommand.self])
}

struct FailedListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists failed tasks and dead letters, the latest first.",
        discussion: "  martlet failed list --limit 100 --output json")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Option(help: "How many of each, at most.")
    var limit = 20

    private struct Document: Encodable {
        var tasks: [DeadTask]
        var deadLetters: [DeadLetter]
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet failed")
            let ledger = try services.ledger(connections: 1)
            let document = Document(
                tasks: try await ledger.deadTasks(limit: limit), deadLetters: try await ledger.deadLetters(limit: limit)
            )
            switch format.output {
            case .json: print(try JSONText.of(document))
            case .table: show(document)
            }
        }
    }

    private func show(_ document: Document) {
        if document.tasks.isEmpty, document.deadLetters.isEmpty { return print("nothing failed") }
        if !document.tasks.isEmpty {
            var table = Table(["RUN", "STAGE", "AGE", "TRIES", "CLASS", "CODE", "FINGERPRINT", "CAUSE"])
            for task in document.tasks {
                table.add([
                    task.run.description, task.stage, task.finishedAt.map { Age.text(from: $0, to: .now) } ?? "-",
                    String(task.attempt), task.failure?.class.rawValue ?? "-", task.failure?.code ?? "-",
                    task.fingerprint ?? "-", (task.failure?.message ?? "").cut(to: 100),
                ])
            }
            print("failed tasks: look with `martlet run show RUN`, try again with `martlet run retry RUN`")
            print(table.text)
        }
        if !document.deadLetters.isEmpty {
            var table = Table(["ID", "AGE", "QUEUE", "BYTES", "REASON"])
            for letter in document.deadLetters {
                table.add([
                    String(letter.id), Age.text(from: letter.receivedAt, to: .now), letter.queue,
                    String(letter.bodyBytes), letter.reason.cut(to: 120),
                ])
            }
            print("messages that could not be used: look with `martlet failed show ID`")
            print(table.text, terminator: "")
        }
    }
}

struct FailedShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Shows a dead letter with its bytes, or why a run's tasks failed.",
        discussion: """
              martlet failed show 12
              martlet failed show r1k7
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "A dead letter's number, or a run.")
    var id: String

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet failed")
            let ledger = try services.ledger(connections: 1)
            if let number = Int64(id) {
                let letter = try await ledger.deadLetter(number)
                switch format.output {
                case .json: print(try JSONText.of(letter))
                case .table: show(letter)
                }
                return
            }
            let record = try await ledger.run(try await ledger.findRun(id))
            switch format.output {
            case .json: print(try JSONText.of(record.failures))
            case .table: Terminal.show(RunReport(record).text, terminator: "")
            }
        }
    }

    private func show(_ letter: DeadLetter) {
        Terminal.show("received      \(letter.receivedAt)")
        Terminal.show("queue         \(letter.queue)")
        Terminal.show("reason        \(letter.reason)")
        Terminal.show("content type  \(letter.contentType ?? "-")")
        Terminal.show("headers       \(letter.headers.canonicalJSON)")
        let body = letter.body ?? []
        print(
            "body          \(letter.bodyBytes) bytes"
                + (Int64(body.count) < letter.bodyBytes ? ", the first \(body.count) of them kept" : ""))
        let shown = body.prefix(4_096)
        print("")
        print(String(validating: shown, as: UTF8.self)?.escapingControls ?? Data(shown).base64EncodedString())
    }
}
