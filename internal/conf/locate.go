package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// DefaultPath is where the configuration folder lies as seen from the folder
// of the command, which `kratos run` makes the working directory.
const DefaultPath = "../../configs"

// fileName is the file that is read of a configuration folder.
const fileName = "config.yaml"

// Locate returns the configuration file that path means: path itself when it
// is a file, config.yaml in it when it is a folder. An empty path is looked for
// from the module's root and from the folder of the command.
func Locate(path string) (string, error) {
	if path != "" {
		return locate(path)
	}
	for _, candidate := range []string{"configs", DefaultPath} {
		file, err := locate(candidate)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
	return "", fmt.Errorf("no %s in ./configs nor in %s: name it with -conf", fileName, DefaultPath)
}

func locate(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	if info.IsDir() {
		return locate(filepath.Join(path, fileName))
	}
	return filepath.Abs(path)
}
