import PostgresClient
import Testing

@Suite(.timeLimit(.minutes(4)))
struct ValueTests {
    @Test
    func everyKindComesBackAsItWent() async throws {
        let moment = PostgresTimestamp(microseconds: 1_795_442_400_123_456)
        try await withClient { client in
            try await client.execute(
                script: """
                    CREATE TABLE v (b bool, i int4, l int8, d float8, t text, y bytea, j jsonb, m timestamptz, u uuid,
                        ta text[], ia int8[], da float8[], ba bool[], ya bytea[], ma timestamptz[], ja jsonb[])
                    """)
            let bytes: [UInt8] = Array(0...255)
            let texts: [String?] = ["a,b", "", nil, "NULL", "q\"\\}{", "žluť 🐎", " sp ", "\n\t"]
            try await client.query(
                "INSERT INTO v VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16)",
                [
                    true, -7, .int(Int64.min), 0.1, "žluť 🐎", .bytes(bytes), .json(#"{"a": [1, null]}"#),
                    .timestamp(moment), .uuid("0e0e6b58-3c2f-4c59-8f8a-111111111111"), .textArray(texts),
                    .intArray([1, nil, -3]), .doubleArray([1.5, .infinity, nil]), .boolArray([true, false, nil]),
                    .bytesArray([bytes, [], nil]), .timestampArray([moment, nil]),
                    .jsonArray([#"{"k":"\"x\""}"#, nil]),
                ])
            let row = try #require(try await client.query("SELECT * FROM v").first)
            #expect(try row["b", as: Bool.self])
            #expect(try row["i", as: Int.self] == -7)
            #expect(try row["l", as: Int64.self] == .min)
            #expect(try row["d", as: Double.self] == 0.1)
            #expect(try row["t", as: String.self] == "žluť 🐎")
            #expect(try row["y", as: [UInt8].self] == bytes)
            #expect(try row["j", as: String.self] == #"{"a": [1, null]}"#)
            #expect(try row["m", as: PostgresTimestamp.self] == moment)
            #expect(try row["u", as: String.self] == "0e0e6b58-3c2f-4c59-8f8a-111111111111")
            #expect(try row["ta", as: [String?].self] == texts)
            #expect(try row["ia", as: [Int?].self] == [1, nil, -3])
            #expect(try row["da", as: [Double?].self] == [1.5, .infinity, nil])
            #expect(try row["ba", as: [Bool?].self] == [true, false, nil])
            #expect(try row["ya", as: [[UInt8]?].self] == [bytes, [], nil])
            #expect(try row["ma", as: [PostgresTimestamp?].self] == [moment, nil])
            #expect(try row["ja", as: [String?].self] == [#"{"k": "\"x\""}"#, nil])
        }
    }

    @Test
    func nullNeedsAnOptional() async throws {
        try await withClient { client in
            let row = try #require(try await client.query("SELECT $1::text AS t, 1 AS one", [nil]).first)
            #expect(try row["t", as: String?.self] == nil)
            #expect(try row.isNull("t"))
            let error = #expect(throws: PostgresError.self) { try row["t", as: String.self] }
            #expect(error?.description.contains("column \"t\" (text) of row 0 is NULL") == true)
            let wrong = #expect(throws: PostgresError.self) { try row["one", as: Bool.self] }
            #expect(wrong?.description.contains("(int4)") == true)
            #expect(throws: PostgresError.self) { try row["absent", as: Int.self] }
        }
    }

    @Test
    func tenMegabytesGoBothWays() async throws {
        try await withClient { client in
            let bytes = [UInt8](unsafeUninitializedCapacity: 10 << 20) { buffer, count in
                for index in 0..<10 << 20 { buffer[index] = UInt8(truncatingIfNeeded: index &* 31) }
                count = 10 << 20
            }
            let row = try #require(try await client.query("SELECT $1::bytea AS b", [.bytes(bytes)]).first)
            #expect(try row["b", as: [UInt8].self] == bytes)
            let text = String(repeating: "ž", count: 5 << 20)
            let back = try #require(try await client.query("SELECT $1::text AS t", [.text(text)]).first)
            #expect(try back["t", as: String.self] == text)
        }
    }

    @Test
    func timestampsAgreeWithTheServer() async throws {
        try await withClient { client in
            for text in [
                "0044-03-15 12:00:00+00 BC", "1969-12-31 23:59:59.999999+00", "2024-02-29 01:02:03.5+05:30",
                "9999-12-31 23:59:59+00", "20000-01-01 00:00:00+00", "infinity", "-infinity",
            ] {
                let row = try #require(
                    try await client.query(
                        "SELECT $1::timestamptz AS m, (extract(epoch FROM $1::timestamptz) * 1000000)::text AS e",
                        [.text(text)]
                    ).first)
                let moment = try row["m", as: PostgresTimestamp.self]
                let same = try await client.query(
                    "SELECT $1::timestamptz = $2::timestamptz AS same", [.timestamp(moment), .text(text)])
                #expect(try same[0]["same", as: Bool.self], "\(text)")
                if !text.hasSuffix("infinity") {
                    #expect(try row["e", as: String.self].hasPrefix("\(moment.microseconds)"))
                }
            }
        }
    }

    @Test
    func aNULCharacterIsRefusedAndNotCut() async throws {
        try await withClient { client in
            let error = await #expect(throws: PostgresError.self) {
                try await client.query("SELECT $1::text, $2::text", ["fine", "a\u{0}secret"])
            }
            #expect(error?.code == .invalidParameter)
            #expect(error?.description.contains("$2") == true)
            #expect(error?.description.contains("secret") == false)
        }
    }

    @Test
    func batchesOf500Rows() async throws {
        try await withClient { client in
            try await client.query("CREATE TABLE items (id int8 PRIMARY KEY, name text, at timestamptz)")
            let names: [String?] = (0..<500).map { $0 % 7 == 0 ? nil : "name \($0), \"quoted\"" }
            let rows = try await client.query(
                "INSERT INTO items SELECT * FROM unnest($1::int8[], $2::text[], $3::timestamptz[]) RETURNING id, name",
                [
                    .intArray(Array(0..<500)), .textArray(names),
                    .timestampArray([PostgresTimestamp](repeating: .now, count: 500)),
                ])
            #expect(rows.affectedRows == 500)
            #expect(rows.count == 500)
            #expect(try rows.map { try $0["name", as: String?.self] } == names)
        }
    }
}
