// Package pgtest gives tests a PostgreSQL of their own. The server is private
// to the test binary, listens on a Unix socket in a folder of its own, is
// started when the first test asks for it, and leaves nothing behind.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }
//
//	func TestRows(t *testing.T) {
//		db, err := sql.Open("pgx", pgtest.New(t))
//		…
//	}
//
// Without the program a test is skipped; with CI=true it fails.
package pgtest
