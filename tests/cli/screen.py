"""A pseudo terminal that a process writes to, and what it wrote."""

import codecs
import os
import pty
import threading


class Screen:
    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self._chunks: list[bytes] = []
        self._seen = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._ours, 65536)
            except OSError:
                # Linux says EIO when the last writer is gone.
                return
            if not chunk:
                return
            with self._seen:
                self._chunks.append(chunk)
                self._seen.notify_all()

    @property
    def text(self) -> str:
        # What has come so far may end in the middle of a character.
        seen = codecs.getincrementaldecoder("utf-8")().decode(b"".join(self._chunks))
        return seen.replace("\r\n", "\n")

    def wait_for(self, text: str) -> None:
        with self._seen:
            assert self._seen.wait_for(lambda: text in self.text, timeout=30), self.text

    def read_to_end(self) -> str:
        os.close(self.theirs)
        self._reader.join(30)
        os.close(self._ours)
        return self.text
