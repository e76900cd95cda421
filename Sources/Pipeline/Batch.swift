/// A file that a client uploaded, or that a batch wrote for it.
package struct BatchFile: Hashable, Sendable {
    package enum Purpose: String, Hashable, Sendable {
        /// Requests, one a line.
        case batch
        /// Their answers, or their errors.
        case output = "batch_output"
    }

    /// `file-` and 32 hexadecimal digits.
    package var id: String
    /// Whose it is: the team of the key that brought it.
    package var team: String
    package var filename: String
    package var purpose: Purpose
    package var bytes: Int64
    /// SHA-256 of its content in hexadecimal.
    package var sha256: String
    package var created: Timestamp

    package init(
        id: String, team: String, filename: String, purpose: Purpose, bytes: Int64, sha256: String,
        created: Timestamp = .now
    ) {
        self.id = id
        self.team = team
        self.filename = filename
        self.purpose = purpose
        self.bytes = bytes
        self.sha256 = sha256
        self.created = created
    }
}

/// Requests in a file that are answered when there is nothing more urgent to do.
package struct Batch: Hashable, Sendable {
    /// The words are those of OpenAI's API.
    package enum Status: String, Hashable, Sendable, CaseIterable {
        case validating
        /// The file is not what it has to be; nothing was asked.
        case failed
        case inProgress = "in_progress"
        /// All lines are answered; their answers are put together.
        case finalizing
        case completed
        /// The window was over before all lines were answered.
        case expired
        case cancelling
        case cancelled

        package var isOver: Bool {
            switch self {
            case .failed, .completed, .expired, .cancelled: true
            case .validating, .inProgress, .finalizing, .cancelling: false
            }
        }
    }

    /// What is wrong with a line of the file.
    package struct Fault: Hashable, Sendable {
        /// A stable word for programs.
        package var code: String
        /// From 1 on; nil where it is the file as a whole.
        package var line: Int?
        package var message: String
        /// The member of the line concerned.
        package var parameter: String?

        package init(code: String, line: Int?, _ message: String, parameter: String? = nil) {
            self.code = code
            self.line = line
            self.message = message
            self.parameter = parameter
        }
    }

    /// What its lines came to.
    package struct Sum: Hashable, Sendable {
        package var completed = 0
        package var failed = 0
        package var promptTokens = 0
        package var cachedTokens = 0
        package var completionTokens = 0
        /// Millionths of the currency's unit.
        package var cost: Int64 = 0

        package init() {}
    }

    /// The moments at which it became what it was.
    package struct Times: Hashable, Sendable {
        package var created = Timestamp(microseconds: 0)
        /// When its window is over.
        package var expires = Timestamp(microseconds: 0)
        package var started: Timestamp?
        package var finalizing: Timestamp?
        package var cancelling: Timestamp?
        package var ended: Timestamp?

        package init() {}
    }

    /// `batch_` and 32 hexadecimal digits.
    package var id: String
    package var team: String
    /// The number of the key that pays; 0 without keys.
    package var key: Int
    package var endpoint: String
    package var inputFile: String
    package var status = Status.validating
    package var metadata: [String: String] = [:]
    /// Lines of the file.
    package var total = 0
    package var sum = Sum()
    package var faults: [Fault] = []
    package var outputFile: String?
    package var errorFile: String?
    package var times = Times()

    package init(id: String, team: String, key: Int, endpoint: String, inputFile: String) {
        self.id = id
        self.team = team
        self.key = key
        self.endpoint = endpoint
        self.inputFile = inputFile
    }

    /// The paths whose requests a batch may hold.
    package static let endpoints = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
    /// A batch must be answered within so many seconds.
    package static let window = 86_400
    package static let maximumLines = 50_000
}

/// Neighbouring lines of a batch that one gateway works on at a time.
package struct BatchPart: Hashable, Sendable {
    package var number: Int
    /// Where its lines begin in the file, and how long they are.
    package var offset: Int64
    package var bytes: Int64
    /// The number of its first line, from 1 on.
    package var firstLine: Int
    package var lines: Int

    package init(number: Int, offset: Int64, bytes: Int64, firstLine: Int, lines: Int) {
        self.number = number
        self.offset = offset
        self.bytes = bytes
        self.firstLine = firstLine
        self.lines = lines
    }
}
