// tlogcheck checks a directory in the C2SP tlog-tiles layout with the Go checksum database's own packages.
//
//	tlogcheck DIR KEYFILE [OLD-CHECKPOINT]
//
// It prints the number of entries, or says what is wrong and exits with status 1.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "tlogcheck: "+format+"\n", args...)
	os.Exit(1)
}

// read returns the file, or for a partial tile what the full one begins with.
func read(dir, path string, cut int) []byte {
	b, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil && strings.Contains(path, ".p/") {
		b, err = os.ReadFile(filepath.Join(dir, path[:strings.Index(path, ".p/")]))
		if err == nil && cut > 0 && len(b) > cut {
			b = b[:cut]
		}
	}
	if err != nil {
		fail("%v", err)
	}
	return b
}

// reader gives tlog the tiles of C2SP's layout, which differs from the database's in the path only.
type reader struct{ dir string }

func (r reader) Height() int { return height }
func (r reader) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		path := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
		out = append(out, read(r.dir, path, t.W*tlog.HashSize))
	}
	return out, nil
}

type head struct {
	origin string
	tree   tlog.Tree
}

func open(file, keyFile string) head {
	text, err := os.ReadFile(file)
	if err != nil {
		fail("%v", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		fail("%v", err)
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		fail("key: %v", err)
	}
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		fail("%s: %v", file, err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != v.Name() {
		fail("%s: no checkpoint of %s", file, v.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		fail("%s: %v", file, err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		fail("%s: bad root", file)
	}
	h := head{origin: lines[0], tree: tlog.Tree{N: size}}
	copy(h.tree.Hash[:], root)
	return h
}

func main() {
	dir, keyFile := os.Args[1], os.Args[2]
	h := open(filepath.Join(dir, "checkpoint"), keyFile)
	hashes := tlog.TileHashReader(h.tree, reader{dir})
	// Every entry: its hash is the leaf, and the leaf is in the signed tree.
	for n := int64(0); n*256 < h.tree.N; n++ {
		tile := tlog.Tile{H: height, L: 0, N: n, W: 256}
		if left := h.tree.N - n*256; left < 256 {
			tile.W = int(left)
		}
		path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		b := read(dir, path, 0)
		for i := 0; i < tile.W; i++ {
			if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
				fail("%s: entry %d is cut off", path, i)
			}
			k := int(binary.BigEndian.Uint16(b))
			id := n*256 + int64(i)
			p, err := tlog.ProveRecord(h.tree.N, id, hashes)
			if err != nil {
				fail("entry %d: %v", id, err)
			}
			if err := tlog.CheckRecord(p, h.tree.N, h.tree.Hash, id, tlog.RecordHash(b[2:2+k])); err != nil {
				fail("entry %d: %v", id, err)
			}
			b = b[2+k:]
		}
	}
	// Growth out of an earlier head.
	if len(os.Args) > 3 {
		old := open(os.Args[3], keyFile)
		p, err := tlog.ProveTree(h.tree.N, old.tree.N, hashes)
		if err != nil {
			fail("growth: %v", err)
		}
		if err := tlog.CheckTree(p, h.tree.N, h.tree.Hash, old.tree.N, old.tree.Hash); err != nil {
			fail("growth: %v", err)
		}
	}
	fmt.Println(h.tree.N)
}
