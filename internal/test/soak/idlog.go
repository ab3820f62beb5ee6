package soak

import (
	"bufio"
	"fmt"
	"os"
)

// idLog is a file with an id on each line. A line is written at once and whole,
// so that it survives the SIGKILL of its writer.
type idLog struct{ file *os.File }

const lineSize = idSize + 1

func openIDLog(path string) (*idLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &idLog{f}, nil
}

// add may be called from several goroutines.
func (l *idLog) add(i id) error {
	_, err := l.file.WriteString(i.String() + "\n")
	return err
}

// logLines is how many ids are in the log; none when there is no such file yet.
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
			return fmt.Errorf("%s:%d: %q is no id", path, n, lines.Text())
		}
		f(i)
	}
	return lines.Err()
}
