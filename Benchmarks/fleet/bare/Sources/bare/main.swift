import Glibc

// The floor: what RabbitMQ and librabbitmq cost when nobody keeps books. Also the producer of the benchmarks.
let usage = """
    usage: bare publish --key KEY --count N [--exchange E] [--window N] [--rate PER_SECOND] [--body event|plain]
                        [--source S] [--pipeline P]
           bare work --queue Q --results Q [--prefetch N]
           bare collect --queue Q --count N

    """

func complain(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

signal(SIGPIPE, SIG_IGN)
do {
    let words = CommandLine.arguments
    let arguments = try Arguments(words.dropFirst(2))
    switch words.dropFirst().first {
    case "publish": try Publisher.run(arguments)
    case "work": try Worker.run(arguments)
    case "collect": try Collector.run(arguments)
    default:
        complain(usage)
        exit(2)
    }
} catch {
    complain("bare: \(error)\n")
    exit(1)
}
