using System.Buffers;
using System.Text;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Mesh.ControlPlane.Rules.Documents;

/// <summary>
/// Bytes of a YAML or JSON file -> document trees with line numbers. Works on the parser's events and builds no objects from tags;
/// size, depth and number of nodes are bounded, aliases are refused, so that no file can make it work long. One file, one thread.
/// </summary>
internal sealed class DocumentParser
{
    private const int DeepestNesting = 64;
    private const int MostNodes = 200_000;
    private static readonly SearchValues<byte> ControlCharacters =
        SearchValues.Create([.. Enumerable.Range(0, 32).Append(127).Where(c => c is not ('\t' or '\n' or '\r')).Select(c => (byte)c)]);

    private readonly RuleFile file;
    private readonly Findings findings;
    private int nodes;
    private int line = 1;

    private DocumentParser(RuleFile file, Findings findings)
    {
        this.file = file;
        this.findings = findings;
    }

    /// <summary>The documents of a file up to the first thing that is not YAML; what is wrong is added to <paramref name="findings"/>.</summary>
    public static List<DocumentNode> Parse(RuleFile file, Findings findings) => new DocumentParser(file, findings).Parse();

    private List<DocumentNode> Parse()
    {
        var documents = new List<DocumentNode>();
        if (Decode() is not { } text) return documents;
        try
        {
            using var reader = new StringReader(text);
            var parser = new Parser(reader);
            parser.Consume<StreamStart>();
            while (!parser.TryConsume<StreamEnd>(out _))
            {
                parser.Consume<DocumentStart>();
                var node = Node(parser, 0);
                if (node is not ScalarNode { IsNull: true }) documents.Add(node);
                parser.Consume<DocumentEnd>();
            }
        }
        catch (YamlException e)
        {
            findings.Errors.Add(SyntaxError((int)e.Start.Line, e.InnerException?.Message ?? e.Message, text));
        }
        catch (RefusedException e)
        {
            findings.Errors.Add(new RuleError(file.Path, e.Line, "", e.Message));
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException or FormatException or IndexOutOfRangeException)
        {
            // The YAML library ends this way on some input that is not YAML (seen: a flow mapping that is not closed).
            findings.Errors.Add(SyntaxError(line, "it cannot be understood from here on", text));
        }

        return documents;
    }

    private string? Decode()
    {
        if (file.Content.Length > RuleFile.LargestBytes)
        {
            findings.Errors.Add(RuleFile.TooLarge(file.Path, file.Content.Length));
            return null;
        }

        var bytes = file.Content.Span;
        if (bytes.StartsWith("\uFEFF"u8)) bytes = bytes[3..];
        var control = bytes.IndexOfAny(ControlCharacters);
        if (control >= 0)
        {
            findings.Error(LineOf(bytes, control), "", $"holds the control character U+{bytes[control]:X4}: rule files are text");
            return null;
        }

        try
        {
            var text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes);

            // JSON may be indented with tabs, YAML may not; a tab inside of a JSON string is not allowed anyway.
            return file.Path.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? text.Replace('\t', ' ') : text;
        }
        catch (DecoderFallbackException e)
        {
            findings.Errors.Add(new RuleError(file.Path, LineOf(bytes, e.Index), "", "is not UTF-8 text: save the file in UTF-8"));
            return null;
        }
    }

    private DocumentNode Node(Parser parser, int depth)
    {
        var next = parser.Current ?? throw new YamlException("the file ends too early");
        line = (int)next.Start.Line;
        if (depth > DeepestNesting) throw new RefusedException(line, $"is nested deeper than {DeepestNesting} levels");
        if (++nodes > MostNodes) throw new RefusedException(line, $"has more than {MostNodes} values: split the file");
        if (next is AnchorAlias alias) throw new RefusedException(line, $"uses the alias *{alias.Value}, which is not supported: write the value out");
        if (next is NodeEvent { Anchor.IsEmpty: false } anchored) throw new RefusedException(line, $"uses the anchor &{anchored.Anchor.Value}, which is not supported: write the value out where it is needed");
        if (next is NodeEvent { Tag.IsEmpty: false } tagged && tagged.Tag.Value is not ("!" or "?")) throw new RefusedException(line, $"uses the tag {tagged.Tag.Value}, which is not supported: remove it");
        if (parser.TryConsume<Scalar>(out var scalar)) return new ScalarNode(line, scalar.Value, scalar.Style == ScalarStyle.Plain);
        if (parser.TryConsume<SequenceStart>(out _))
        {
            var items = new List<DocumentNode>();
            while (!parser.TryConsume<SequenceEnd>(out _)) items.Add(Node(parser, depth + 1));
            return new SequenceNode((int)next.Start.Line, items);
        }

        parser.Consume<MappingStart>();
        return Mapping(parser, (int)next.Start.Line, depth);
    }

    private MappingNode Mapping(Parser parser, int start, int depth)
    {
        var entries = new List<MappingEntry>();
        var lines = new Dictionary<string, int>(StringComparer.Ordinal);
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            if (Node(parser, depth + 1) is not ScalarNode key) throw new RefusedException((int)parser.Current!.Start.Line, "uses a list or mapping as a key");
            if (!lines.TryAdd(key.Text, key.Line))
                findings.Error(key.Line, "", $"the key \"{key.Text}\" is there twice, first in line {lines[key.Text]}: remove one");
            entries.Add(new MappingEntry(key.Text, key.Line, Node(parser, depth + 1)));
        }

        return new MappingNode(start, entries);
    }

    private RuleError SyntaxError(int at, string message, string text)
    {
        var lines = text.Split('\n');
        at = Math.Clamp(at, 1, lines.Length);
        var tabbed = Array.FindIndex(lines, line => line.TrimStart(' ').StartsWith('\t'));
        if (tabbed >= 0) return new RuleError(file.Path, tabbed + 1, "", "is indented with a tab: YAML takes spaces only");
        return new RuleError(file.Path, at, "", $"is not valid YAML: {message.TrimEnd('.').ToLowerInvariant()}");
    }

    private static int LineOf(ReadOnlySpan<byte> bytes, int index) => 1 + bytes[..Math.Clamp(index, 0, bytes.Length)].Count((byte)'\n');

    /// <summary>Ends the reading of a file that is YAML but not taken. Never leaves this class.</summary>
    private sealed class RefusedException(int line, string message) : Exception(message)
    {
        public int Line { get; } = line;
    }
}
