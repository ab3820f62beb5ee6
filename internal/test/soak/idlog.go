package soak

import (
	"bufio"
	"fmt"
	"os"
)

// idLog is a file with one id per line. Each line is written in one call, so that it survives
// a SIGKILL of its writer.
type idLog struct{ file *os.File }

const lineSize = idSize + 1

func openIDLog(path string) (*idLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &idLog{f}, nil
}

// add appends an id. It is safe for concurrent use.
func (l *idLog) add(i id) error {
	_, err := l.file.WriteString(i.String() + "\n")
	return err
}

// logLines returns the number of ids in a log, 0 if the file does not exist yet.
func logLines(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return int(info.Size()) / lineSize
}

// readLog calls f with each id, in the order of the lines.
func readLog(path string, f func(id)) error {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		i, ok := parseID(lines.Text())
		if !ok {
			return fmt.Errorf("%s:%d: %q is not an id", path, n, lines.Text())
		}
		f(i)
	}
	return lines.Err()
}
