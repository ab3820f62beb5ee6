package outboxfile_test

// children are the programs that tests run in processes of their own, by name;
// they get the path of the outbox.
var children = map[string]func(path string) int{}
