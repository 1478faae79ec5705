-- The parts of both clouds that static files cannot be: listings, and what S3 says about uploads. See nginx.py.

local cloud = {}
local containers = {}          -- sorted names
local container_rows = {}      -- name -> its XML
local known = {}               -- container -> {names = sorted, starts = offset of each row, rows = path of the rows}
local PAGE = 5000
local arriving                 -- the folder in which objects become files

function cloud.load(folder, objects_folder)
    arriving = objects_folder
    for line in io.lines(folder .. "/containers") do
        local name, row = line:match("^(.-)\t(.*)$")
        containers[#containers + 1] = name
        container_rows[name] = row
        local names, starts = {}, {}
        for each in io.lines(folder .. "/index/" .. name) do
            local start, blob = each:match("^(%d+)\t(.*)$")
            if blob ~= "" then names[#names + 1] = blob end
            starts[#starts + 1] = tonumber(start)   -- one more than names: the end of the last row
        end
        known[name] = {names = names, starts = starts, rows = folder .. "/rows/" .. name}
    end
end

-- The first index whose name is not below a text.
local function from(names, text)
    local low, high = 1, #names + 1
    while low < high do
        local middle = math.floor((low + high) / 2)
        if names[middle] < text then low = middle + 1 else high = middle end
    end
    return low
end

local function escaped(text)
    return (text:gsub("&", "&amp;"):gsub("<", "&lt;"):gsub(">", "&gt;"))
end

local function answer(status, body, headers)
    ngx.status = status
    ngx.header["Content-Type"] = "application/xml"
    ngx.header["Content-Length"] = #body
    for name, value in pairs(headers or {}) do ngx.header[name] = value end
    ngx.print(body)
    ngx.exit(ngx.OK)
end

function cloud.no(status, code)
    answer(status, "<Error><Code>" .. code .. "</Code><Message>" .. code .. "</Message></Error>", {["x-ms-error-code"] = code})
end

local ECHOED = {prefix = "Prefix", marker = "Marker", maxresults = "MaxResults", delimiter = "Delimiter"}

local function listing(query, where, tag, pieces, marker)
    local echo = ""                                -- Microsoft's client takes the prefix of the next page from here
    for name, element in pairs(ECHOED) do
        if query[name] then echo = echo .. "<" .. element .. ">" .. escaped(query[name]) .. "</" .. element .. ">" end
    end
    answer(200, '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://'
        .. (ngx.var.http_host or "") .. '/"' .. where .. ">" .. echo .. "<" .. tag .. ">" .. table.concat(pieces) .. "</" .. tag
        .. "><NextMarker>" .. escaped(marker) .. "</NextMarker></EnumerationResults>")
end

local function asked()
    local query = ngx.req.get_uri_args()
    for name, value in pairs(query) do if value == true then query[name] = "" end end
    local most = math.min(tonumber(query.maxresults or PAGE) or PAGE, PAGE)
    return query, query.prefix or "", query.delimiter or "", query.marker or "", most
end

function cloud.containers()
    local query, prefix, _, marker, most = asked()
    if query.comp ~= "list" then
        return answer(200, "", {["x-ms-sku-name"] = "Standard_LRS", ["x-ms-account-kind"] = "StorageV2",
            ["x-ms-is-hns-enabled"] = "false"})
    end
    local pieces, last = {}, ""
    for at = from(containers, marker > prefix and marker or prefix), #containers do
        local name = containers[at]
        if name:sub(1, #prefix) ~= prefix then break end
        if name > marker then
            if #pieces == most then last = containers[at - 1]; break end
            pieces[#pieces + 1] = container_rows[name]
        end
    end
    listing(query, "", "Containers", pieces, last)
end

function cloud.blobs(container)
    local query, prefix, delimiter, marker, most = asked()
    local here = known[container]
    if not here then return cloud.no(404, "ContainerNotFound") end
    if query.comp ~= "list" then return answer(200, "") end
    local names, starts = here.names, here.starts
    local file = io.open(here.rows, "rb")
    local pieces, count, last = {}, 0, ""
    local at = from(names, marker > prefix and marker or prefix)
    local first                                   -- of a run of rows that stand together in the file
    local function run_ends(before)
        if first and before > first then
            file:seek("set", starts[first])
            pieces[#pieces + 1] = file:read(starts[before] - starts[first])
        end
        first = nil
    end
    while at <= #names do
        local name = names[at]
        if name:sub(1, #prefix) ~= prefix then break end
        local stop = delimiter ~= "" and name:find(delimiter, #prefix + 1, true)
        local entry = stop and name:sub(1, stop + #delimiter - 1) or name
        if entry > marker and count == most then break end
        if stop then
            run_ends(at)
            if entry > marker then
                pieces[#pieces + 1] = "<BlobPrefix><Name>" .. escaped(entry) .. "</Name></BlobPrefix>"
                count, last = count + 1, entry
            end
            at = from(names, entry .. "\255")      -- behind all that this prefix stands for
        else
            if entry > marker then
                first = first or at
                count, last = count + 1, entry
            end
            at = at + 1
        end
    end
    run_ends(at)
    file:close()
    local more = at <= #names and names[at]:sub(1, #prefix) == prefix
    listing(query, ' ContainerName="' .. container .. '"', "Blobs", pieces, more and last or "")
end

-- ------------------------------------------------------------------------------------------------------------- S3

local ffi = require("ffi")
ffi.cdef [[
int mkdir(const char *, unsigned int);
int open(const char *, int, unsigned int);
long write(int, const char *, size_t);
int close(int);
]]
local C = ffi.C
local WRITE_NEW = 577          -- O_WRONLY | O_CREAT | O_TRUNC, on x86 and on ARM
local objects = ngx.shared.objects
local XMLNS = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

local function s3(tag, inner)
    answer(200, '<?xml version="1.0" encoding="UTF-8"?><' .. tag .. XMLNS .. ">" .. inner .. "</" .. tag .. ">")
end

local function note(key, size, checksum, etag)
    objects:set(key, table.concat({size or 0, checksum or "", etag}, "\t"))
end

-- As of a multipart upload, or clients would take it for an MD5; that it is only where the client sent one.
local function etag_of(text, md5)
    if not md5 then return '"' .. ngx.md5(text) .. '-1"' end
    return '"' .. (ngx.decode_base64(md5):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)) .. '"'
end

local function head(key)
    local found = objects:get(key)
    if not found then return ngx.exit(404) end
    local size, checksum, etag = found:match("^(.-)\t(.-)\t(.*)$")
    ngx.header["Content-Length"] = size
    ngx.header["ETag"] = etag
    ngx.header["Last-Modified"] = ngx.http_time(ngx.time())
    if checksum ~= "" then
        ngx.header["x-amz-checksum-crc64nvme"] = checksum
        ngx.header["x-amz-checksum-type"] = "FULL_OBJECT"
    end
    return ngx.exit(200)
end

-- Sorted names of all objects, made once after each word that they are to be shown.
local shown, shown_for = {}, nil

local function show(query)
    local word = objects:get("shown")
    if not word then
        return s3("ListBucketResult", "<KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>")
    end
    if word ~= shown_for then
        shown, shown_for = {}, word
        for _, key in ipairs(objects:get_keys(0)) do
            local name = key:match("^/[^/]+/(.+)$")
            if name then shown[#shown + 1] = name end
        end
        table.sort(shown)
    end
    local prefix, after = query.prefix or "", query["continuation-token"] or query["start-after"] or query.marker or ""
    local most, pieces, last = math.min(tonumber(query["max-keys"] or 1000) or 1000, 1000), {}, nil
    for at = from(shown, after > prefix and after or prefix), #shown do
        local name = shown[at]
        if name:sub(1, #prefix) ~= prefix then break end
        if name > after then
            if #pieces == most then last = shown[at - 1]; break end
            local size, _, etag = objects:get("/" .. ngx.var.uri:match("^/([^/]+)") .. "/" .. name):match("^(.-)\t(.-)\t(.*)$")
            pieces[#pieces + 1] = "<Contents><Key>" .. escaped(name) .. "</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified><ETag>"
                .. etag:gsub('"', "&quot;") .. "</ETag><Size>" .. size .. "</Size><StorageClass>STANDARD</StorageClass></Contents>"
        end
    end
    s3("ListBucketResult", "<KeyCount>" .. #pieces .. "</KeyCount><MaxKeys>" .. most .. "</MaxKeys><IsTruncated>" .. tostring(last ~= nil)
        .. "</IsTruncated>" .. (last and "<NextContinuationToken>" .. escaped(last) .. "</NextContinuationToken>" or "") .. table.concat(pieces))
end

local function bucket(method, query)
    if query.location ~= nil then return s3("LocationConstraint", "") end
    if query.uploads ~= nil then return s3("ListMultipartUploadsResult", "<IsTruncated>false</IsTruncated>") end
    if query.versioning ~= nil then return s3("VersioningConfiguration", "") end
    if method == "GET" then return show(query) end
    if method == "POST" then                       -- from now on a bucket lists what it has, and an ETag is an MD5
        objects:set("shown", ngx.var.request_id)
        return ngx.exit(204)
    end
    if method == "DELETE" then                     -- who removed the files wants the rest forgotten, too
        objects:flush_all()
        return ngx.exit(204)
    end
    ngx.header["x-amz-bucket-region"] = "us-east-1"
    return answer(200, "")
end

-- The cheapest way to a file: no name for the time being, no second name, no buffer of the library's.
local function make_folders(path)
    for stop in path:gmatch("()/") do
        if stop > #arriving then C.mkdir(path:sub(1, stop - 1), 511) end
    end
end

local function keep(path)
    ngx.req.read_body()
    local spilled = ngx.req.get_body_file()
    if spilled then                                -- a large one: nginx has written it to a file of its own
        if not os.rename(spilled, path) then
            make_folders(path)
            assert(os.rename(spilled, path))
        end
        return
    end
    local body = ngx.req.get_body_data() or ""
    local file = C.open(path, WRITE_NEW, 420)
    if file < 0 then
        make_folders(path)
        file = C.open(path, WRITE_NEW, 420)
    end
    local written = C.write(file, body, #body)
    C.close(file)
    if written ~= #body then error("no space for " .. path) end
end

local function put(key, headers, query)
    local sum, part, etag = headers["x-amz-checksum-crc64nvme"], query.partNumber, nil
    local length = headers["x-amz-decoded-content-length"] or headers["content-length"]
    if part then
        etag = etag_of(query.uploadId .. part, headers["content-md5"])
        objects:incr(query.uploadId, tonumber(length) or 0, 0)
        keep(("%s/.parts/%s/%05d"):format(arriving, query.uploadId, part))
    else
        keep(arriving .. key)
        local md5 = headers["content-md5"]
        if not md5 and objects:get("shown") then md5 = ngx.encode_base64(ngx.md5_bin(ngx.req.get_body_data() or "")) end
        etag = etag_of(key, md5)
        note(key, length, sum, etag)
    end
    ngx.header["ETag"] = etag
    if sum then
        ngx.header["x-amz-checksum-crc64nvme"] = sum
        ngx.header["x-amz-checksum-type"] = "FULL_OBJECT"
    end
    ngx.header["Content-Length"] = 0
    return ngx.exit(200)
end

-- The parts stay the files they are, numbered, in a folder that has the object's name.
local function complete(key, headers, id)
    local etag, path = etag_of(id), arriving .. key
    make_folders(path)
    os.rename(path, arriving .. "/.parts/replaced-by-" .. id)
    assert(os.rename(arriving .. "/.parts/" .. id, path))
    note(key, objects:get(id), headers["x-amz-checksum-crc64nvme"], etag)
    return s3("CompleteMultipartUploadResult", "<ETag>" .. escaped(etag) .. "</ETag>")
end

function cloud.s3()
    local method, key = ngx.req.get_method(), ngx.var.uri
    if not key:find("^/[^/]+/.") then
        ngx.req.discard_body()
        return bucket(method, ngx.req.get_uri_args())
    end
    local query = ngx.var.args and ngx.req.get_uri_args() or {}
    local headers = ngx.req.get_headers()
    if headers["if-none-match"] then
        if objects:get(key) then return cloud.no(412, "PreconditionFailed") end
        ngx.req.clear_header("If-None-Match")      -- or nginx takes it for a question about its answer: 304
    end
    if method == "PUT" then return put(key, headers, query) end
    if method == "HEAD" then return head(key) end
    if method == "POST" and query.uploads then
        return s3("InitiateMultipartUploadResult", "<UploadId>" .. ngx.var.request_id .. "</UploadId>")
    end
    if method == "POST" and query.uploadId then return complete(key, headers, query.uploadId) end
    if method == "GET" and query.uploadId then return s3("ListPartsResult", "<IsTruncated>false</IsTruncated>") end
    if method == "DELETE" then
        objects:delete(key)
        os.remove(arriving .. key)
        return ngx.exit(204)
    end
    return ngx.exit(404)
end

return cloud
