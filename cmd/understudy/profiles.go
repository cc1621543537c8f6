package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"understudy/config"
)

// profilesFolder is the name of the folder beside the configuration that holds
// profiles of the user's own, NAME.toml.
const profilesFolder = "profiles"

// readProfiles reads the user's own profiles, by name. That there is no folder
// means that there are none.
func (c *common) readProfiles() (map[string]config.ProfileFile, error) {
	dir := filepath.Join(filepath.Dir(c.config), profilesFolder)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the profiles beside %s: %w — make it a folder that root reads, or take it away", c.config, err)
	}
	own := make(map[string]config.ProfileFile)
	for _, e := range entries {
		name, isProfile := strings.CutSuffix(e.Name(), ".toml")
		if !isProfile || name == "" || strings.HasPrefix(name, ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read a profile: %w — take it away if it is not meant", err)
		}
		own[name] = config.ProfileFile{File: path, Data: data}
	}
	return own, nil
}
