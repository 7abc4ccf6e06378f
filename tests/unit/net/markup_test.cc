#include "dataplane/net/markup.h"

#include <gtest/gtest.h>

namespace portolan::net::test {
namespace {

TEST(Markup, no_character_of_the_text_ends_an_element_or_an_attribute) {
  EXPECT_EQ(escaped_markup("<a href=\"x\" title='y'>&amp;</a>"),
            "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
  EXPECT_EQ(escaped_markup("Gar\xc3\xa7on 1/2 ;"), "Gar\xc3\xa7on 1/2 ;");
  EXPECT_EQ(escaped_markup(""), "");
}

}  // namespace
}  // namespace portolan::net::test
