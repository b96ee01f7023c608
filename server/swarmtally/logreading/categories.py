"""What kind of failure words speak of, and what is known about its cause from them alone.

Rules are tried in order; the first whose words are in the template decides. A rule gives a cause and a remedy only where its
words leave no doubt: most give none."""

import re
from typing import NamedTuple


class Finding(NamedTuple):
    category: str
    cause: str | None = None
    remedy: str | None = None
    evidence: str | None = None


UNKNOWN = Finding("unknown")
CATEGORIES = (
    "timeout", "connection", "auth", "rate_limit", "out_of_memory", "disk", "parse", "not_found", "permission", "assertion",
    "dependency", "unknown",
)  # fmt: skip

_RULES: tuple[tuple[str, str, str | None, str | None], ...] = (
    ("out_of_memory", r"GC overhead limit exceeded", "the Java heap is nearly full: collecting garbage takes almost all time",
     "raise -Xmx, or find what holds the memory with a heap dump"),
    ("out_of_memory", r"Java heap space", "the Java heap is full", "raise -Xmx, or find what holds the memory with a heap dump"),
    ("out_of_memory", r"JavaScript heap out of memory", "the heap of Node.js is full", "raise --max-old-space-size, or find what holds the memory"),
    ("out_of_memory", r"OOM[ -]?Kill\w*|oom_reaper|oom-killer|Out of memory: Kill(?:ed)?", "the kernel or the container's limit ended a process for the memory it used",
     "raise the memory limit, or use less"),
    ("out_of_memory", r"CUDA out of memory|CUDA_ERROR_OUT_OF_MEMORY", "the GPU's memory is full", "use smaller batches or a smaller model"),
    ("out_of_memory", r"out of memory|OutOfMemory\w*|\bMemoryError\b|\bENOMEM\b|[Cc]annot allocate memory|std::bad_alloc", None, None),
    ("disk", r"No space left on device|\bENOSPC\b|disk (?:is )?full|not enough space on the disk", "the file system is full", "free space on it, or enlarge it"),
    ("disk", r"[Dd]isk quota exceeded|\bEDQUOT\b", "the quota of the user or project is used up", "free space, or raise the quota"),
    ("disk", r"Read-only file system|\bEROFS\b", "the file system is mounted read-only", "mount it writable, after a check of why it is not"),
    ("unknown", r"[Tt]oo many open files|\bEMFILE\b|\bENFILE\b", "the limit on open files is reached", "raise it (ulimit -n), or close what is no longer used"),
    ("disk", r"Input/output error|\bEIO\b|I/O error|disk (?:I/O )?(?:error|failure)|database disk image is malformed|bad sector", None, None),
    ("rate_limit", r"[Tt]oo [Mm]any [Rr]equests|RateLimit\w*Error|\bstatus(?: code)?[ =:]+429\b", "the service refuses requests above its limit",
     "send fewer at once, and wait as long as Retry-After says"),
    ("rate_limit", r"rate[ _-]?limit(?:ed|ing)?(?: (?:exceeded|reached|hit))?|quota (?:exceeded|exhausted)|exceeded (?:your|the) (?:current )?quota|\b[Tt]hrottl(?:ed|ing)\b|ThrottlingException|RESOURCE_EXHAUSTED", None, None),
    ("dependency", r"No module named ['\"]?(?P<name>[\w.<>*]+)", "a Python module is not installed", "install the package that has it into this environment"),
    ("dependency", r"\bModuleNotFoundError\b|cannot import name|\bImportError\b|DLL load failed", None, None),
    ("dependency", r"Cannot find module|\bMODULE_NOT_FOUND\b|Cannot find package", "a Node.js module is not installed, or its path is wrong", "run npm install, or correct the path"),
    ("dependency", r"ClassNotFoundException|NoClassDefFoundError", "a class is not on the classpath", "add the library that has it"),
    ("dependency", r"NoSuchMethodError|AbstractMethodError|IncompatibleClassChangeError", "two versions of a library do not fit together", "make the build use one version of it"),
    ("dependency", r"error while loading shared libraries|cannot open shared object file|version `?GLIBC\S* not found", "a shared library is missing or too old", "install it, or build for this system"),
    ("dependency", r"command not found|unmet dependenc|[Cc]ould not (?:find|resolve) (?:a version|dependenc)|ImagePullBackOff|ErrImagePull|no matching distribution", None, None),
    ("auth", r"certificate (?:has expired|is expired)|certificate expired|CERT_HAS_EXPIRED", "a TLS certificate has expired", "renew it"),
    ("auth", r"certificate verify failed|unable to verify the first certificate|self[- ]signed certificate|x<num>: certificate signed by unknown authority|PKIX path building failed|UNABLE_TO_VERIFY", "the TLS certificate is signed by no authority known here",
     "install the authority's certificate, or correct the server's chain"),
    ("auth", r"(?:token|session|credentials?|jwt|signature)(?: has| is| have)? expired|ExpiredSignature\w*|ExpiredToken\w*|TokenExpired\w*", "a token has expired", "renew it before it does"),
    ("auth", r"[Ff]ailed password|[Aa]uthentication fail\w*|[Aa]uth(?:entication)? error|[Ll]ogin (?:failed|incorrect)|[Ii]nvalid (?:user|credentials|password|api[ _-]?key|token)|[Uu]nauthori[sz]ed|[Pp]assword authentication failed|AuthenticationError|AuthenticationException|Access denied for user|BadCredentials\w*|check pass; user unknown|[Ww]rong password", None, None),
    ("permission", r"[Pp]ermission denied|PermissionError|\bEACCES\b|\bEPERM\b|Operation not permitted", None, None),
    ("permission", r"[Aa]ccess (?:is )?denied|AccessDenied\w*|AccessControlException|\bForbidden\b|[Nn]ot (?:authori[sz]ed|permitted|allowed) to|insufficient (?:privileges|permissions|scope)|[Ll]acks? permission|\bdeny\b", None, None),
    ("timeout", r"\bGateway Time-?[Oo]ut\b", "a server behind the proxy did not answer in time", None),
    ("timeout", r"[Ll]ock wait timeout|database is locked|SQLITE_BUSY|could not obtain lock|deadlock detected|Deadlock found", "another transaction held a lock too long", "shorten transactions, and take locks in one order"),
    ("timeout", r"[Tt]imed[ -]?out|\btime-?out (?:expired|exceeded|reached|occurred|waiting|while|after|of|on|for|reading|connecting)|\bTimeout(?:Error|Exception|Expired)\b|\w+Timeout(?:Error|Exception)\b|\w+TimedOut\w*|[Dd]eadline ?[Ee]xceeded|context deadline exceeded|DEADLINE_EXCEEDED|\bETIMEDOUT\b|\bESOCKETTIMEDOUT\b|(?:connection|connect|read|write|request|response|socket|operation|lock|query|idle|\w+) time-?out\b(?! *[=:])|Notification time out", None, None),
    ("connection", r"[Cc]onnection refused|\bECONNREFUSED\b|ConnectionRefused\w*|actively refused", "nothing listens at that address, or a firewall refuses", "check that the service runs and that address and port are right"),
    ("connection", r"Name or service not known|[Tt]emporary failure in name resolution|getaddrinfo|\bENOTFOUND\b|\bEAI_AGAIN\b|[Nn]o such host|UnknownHostException|[Cc]ould not resolve|[Nn]ame resolution|NXDOMAIN|nodename nor servname", "a host's name could not be resolved", "check the name and the DNS server"),
    ("connection", r"No route to host|[Nn]etwork is unreachable|\bEHOSTUNREACH\b|\bENETUNREACH\b|[Hh]ost is unreachable|NoRouteToHost\w*", "no route leads to the host", "check network, VPN and firewall"),
    ("connection", r"[Cc]onnection reset|\bECONNRESET\b|[Bb]roken pipe|\bEPIPE\b|ConnectionReset\w*|[Ss]ocket hang up|ConnectionAborted\w*|\bECONNABORTED\b|[Uu]nexpected EOF|[Cc]onnection (?:was )?(?:closed|lost|broken|dropped|aborted|terminated)|[Ss]erver (?:closed|disconnected)|Received disconnect|RemoteDisconnected", None, None),
    ("connection", r"[Aa]ddress already in use|\bEADDRINUSE\b", "another process listens on the port", "end it, or use another port"),
    ("connection", r"[Ff]ailed to connect|[Cc]ould not connect|[Cc]annot connect|[Uu]nable to connect|[Cc]onnection (?:error|failed|failure)|ConnectionError|ConnectException|SocketException|[Cc]onnect\w* (?:to .{1,80} )?failed|upstream (?:prematurely|unavailable)|no live upstreams|Bad Gateway|Service Unavailable|\bUNAVAILABLE\b|[Ll]ost connection|[Ll]ink (?:is )?[Dd]own|too many connections|CommunicationsException", None, None),
    ("parse", r"JSONDecodeError|JsonParseException|JsonMappingException|Unexpected token|[Uu]nexpected end of (?:JSON )?input|invalid character .{1,20} looking for|Expecting value", "what should be JSON is not", "look at what was received: often it is an error page, empty or cut"),
    ("parse", r"UnicodeDecodeError|UnicodeEncodeError|[Ii]nvalid (?:start byte|continuation byte|UTF-?<?\w*>?)|codec can't (?:de|en)code|MalformedInputException", "bytes are in another encoding than the reader expects", "name the encoding where it is read or written"),
    ("parse", r"[Ss]yntax ?[Ee]rror|[Pp]arse ?(?:r |_)?(?:[Ee]rror|[Ff]ail\w*|[Ee]xception)|[Ff]ailed to (?:parse|decode|unmarshal|deserialize)|[Cc](?:ould not|annot|an't) (?:parse|decode|unmarshal|deserialize)|[Mm]alformed|[Ii]nvalid (?:JSON|XML|YAML|syntax|format|literal|number|date)|NumberFormatException|ParseException|SAXParse\w*|YAMLError|cannot unmarshal|[Uu]nterminated string|ScannerError|ValidationError|DateTimeParseException", None, None),
    ("not_found", r"No such file or directory|\bENOENT\b|FileNotFound\w*|NoSuchFileException|[Cc]annot find the (?:file|path)", "a file that is named is not there", "check the path, and the directory it is relative to"),
    ("not_found", r"(?:relation|table|column|collection|database|index) .{1,80}does not exist|no such (?:table|column)|Unknown (?:column|table|database)|doesn't exist", "the database has no such table, column or database", "run the migrations, or correct the name"),
    ("not_found", r"\bNot Found\b|\bnot found\b|NotFound(?:Error|Exception)?\b|NoSuchElement\w*|NoSuchKey|[Dd]oes not exist|DoesNotExist|\bKeyError\b|no such \w+|missing key|[Uu]nknown (?:key|host|service|method|command)", None, None),
    ("assertion", r"NullPointerException|nil pointer dereference|Cannot read propert(?:y|ies) of (?:undefined|null)|'NoneType' object|undefined is not an? |Object reference not set", "a value was used that is not there (null, nil, None or undefined)", "find in the frame which value it is, and why it is missing"),
    ("assertion", r"AssertionError|[Aa]ssertion .{0,80}fail\w*|[Aa]ssert(?:ion)? failed|AssertionFailed\w*|[Ii]nvariant (?:violat\w*|failed)|panic: assertion|IllegalStateException|[Cc]heck failed|index out of range|IndexOutOfBounds\w*|ArrayIndexOutOf\w*|IndexError|slice bounds out of range|integer divide by zero|ZeroDivisionError|ArithmeticException|ClassCastException|IllegalArgumentException|expected .{1,60} but (?:got|was)|is not a function", None, None),
)  # fmt: skip
_COMPILED = tuple((category, re.compile(pattern), cause, remedy) for category, pattern, cause, remedy in _RULES)
LONGEST = 2_000
"""Characters of a template that are looked at."""


def finding(text: str) -> Finding:
    """What the text speaks of; its evidence is the words that say so."""
    text = text[:LONGEST]
    for category, pattern, cause, remedy in _COMPILED:
        found = pattern.search(text)
        if found:
            return Finding(category, cause, remedy, found[0])
    return UNKNOWN
