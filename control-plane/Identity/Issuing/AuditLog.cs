using System.Text;
using System.Text.Json;
using Mesh.Api.Identity;
using Mesh.Api.Logging;

namespace Mesh.ControlPlane.Identity.Issuing;

/// <summary>
/// Every certificate that was issued, and every change of who may have one, as a line of JSON each in <c>audit.log</c> (0600); those refused in
/// <c>refused.log</c>, since anybody can have as many of them written as he likes. At its bound a file is put aside, the oldest goes. Thread safe:
/// one line at a time; lives as long as the program.
/// </summary>
internal sealed class AuditLog
{
    /// <summary>The file's bound in bytes.</summary>
    public const int Largest = 10 << 20;

    /// <summary>The event of lines that go into the file of the refused.</summary>
    public const string RefusedEvent = "refused";

    private const int Kept = 5;
    private const int TailBytes = 64 * 1024;
    private readonly Lock gate = new();
    private readonly string kept;
    private readonly string refused;
    private readonly Log log;
    private readonly long largest;

    /// <summary>An audit log in a folder, which is made when it is not there. An <see cref="IOException"/> says why it cannot be used.</summary>
    public AuditLog(string folder, Log log, long largest = Largest)
    {
        (kept, refused, this.log, this.largest) = (Path.Combine(folder, "audit.log"), Path.Combine(folder, "refused.log"), log, largest);
        SecureFiles.EnsureFolder(folder);
    }

    /// <summary>Writes a line. A disk that is full stops no issuing: the line goes to the program's log then, with the error.</summary>
    public void Write(AuditEvent entry)
    {
        var line = JsonSerializer.SerializeToUtf8Bytes(entry, AuditJson.Default.AuditEvent);
        var path = entry.Event == RefusedEvent ? refused : kept;
        lock (gate)
        {
            try
            {
                if (File.Exists(path) && new FileInfo(path).Length + line.Length >= largest) PutAside(path);
                using var file = new FileStream(path, new FileStreamOptions
                {
                    Mode = FileMode.Append,
                    Access = FileAccess.Write,
                    UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
                });
                file.Write([.. line, (byte)'\n']);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                log.Error("the audit log cannot be written", ("error", e.Message), ("line", Encoding.UTF8.GetString(line)));
            }
        }
    }

    /// <summary>The newest lines of both files, the newest first.</summary>
    public IReadOnlyList<AuditEvent> Tail(int most)
    {
        lock (gate) return [.. TailOf(kept).Concat(TailOf(refused)).OrderByDescending(entry => entry.At).Take(most)];
    }

    private static IEnumerable<AuditEvent> TailOf(string path)
    {
        if (!File.Exists(path)) return [];
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        file.Seek(-Math.Min(TailBytes, file.Length), SeekOrigin.End);
        using var reader = new StreamReader(file, Encoding.UTF8);
        // The first line may be cut, and the last one may be from a full disk.
        return [.. reader.ReadToEnd().Split('\n').Select(Read).OfType<AuditEvent>().Reverse()];
    }

    private static AuditEvent? Read(string line)
    {
        try
        {
            return line.Length == 0 ? null : JsonSerializer.Deserialize(line, AuditJson.Default.AuditEvent);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static void PutAside(string path)
    {
        for (var i = Kept - 1; i > 0; i--)
        {
            if (File.Exists($"{path}.{i}")) File.Move($"{path}.{i}", $"{path}.{i + 1}", overwrite: true);
        }

        File.Move(path, $"{path}.1", overwrite: true);
    }
}
