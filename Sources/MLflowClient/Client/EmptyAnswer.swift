/// `{}`.
struct EmptyAnswer: Decodable {}
