//go:build !linux

package outboxfile_test

// children are the programs that tests run in processes of their own, by name;
// they get the path of the outbox and return the exit code.
func children() map[string]func(path string) int {
	return map[string]func(path string) int{"append": appendForEver}
}
