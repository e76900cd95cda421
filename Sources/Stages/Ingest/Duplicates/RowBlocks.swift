/// Rows of equal width in blocks: growing neither copies what is there nor reserves more than a block ahead, so that
/// the memory is that of the rows at any time.
struct RowBlocks<Element: BitwiseCopyable> {
    private let width: Int
    private var blocks: [[Element]] = []
    private(set) var count = 0

    /// Rows per block, as a power of two.
    private static var bits: Int { 12 }

    init(width: Int) {
        self.width = width
    }

    mutating func append(_ row: some Collection<Element>) {
        if count & (1 << Self.bits - 1) == 0 {
            blocks.append([])
            blocks[blocks.count - 1].reserveCapacity(width << Self.bits)
        }
        blocks[blocks.count - 1].append(contentsOf: row)
        count += 1
    }

    subscript(row: Int, column: Int) -> Element {
        get { blocks[row >> Self.bits][place(row) + column] }
        set { blocks[row >> Self.bits][place(row) + column] = newValue }
    }

    func withRow<Result>(_ row: Int, _ body: (UnsafeBufferPointer<Element>) -> Result) -> Result {
        blocks[row >> Self.bits].withUnsafeBufferPointer { block in
            body(UnsafeBufferPointer(rebasing: block[place(row)..<(place(row) + width)]))
        }
    }

    private func place(_ row: Int) -> Int { (row & (1 << Self.bits - 1)) * width }
}
