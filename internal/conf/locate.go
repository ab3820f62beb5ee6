package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// DefaultPath is the configuration folder relative to the folder of the command,
// which `kratos run` uses as the working directory.
const DefaultPath = "../../configs"

// fileName is the file that is read from a configuration folder.
const fileName = "config.yaml"

// Locate returns the configuration file for path: path itself if it is a file,
// its config.yaml if it is a folder. If path is empty, Locate looks for the
// configuration folder from the module's root and from the folder of the command.
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
	return "", fmt.Errorf("no %s in ./configs or %s: set its path with -conf", fileName, DefaultPath)
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
